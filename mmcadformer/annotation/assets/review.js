'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const DECISIONS = {
    accept: {label: 'Accept', done: '✓ accepted', key: 'A'},
    fix: {label: 'Fix', done: '✎ to fix', key: 'F'},
    reject: {label: 'Reject', done: '✕ rejected', key: 'R'},
  };
  const FLAG_NAMES = {
    empty: 'empty', unsure: 'SAM unsure', off_box: 'off the box', outside: 'outside the box',
    fills_edge: 'fills box edge', thin: 'little of the box', parts: 'several parts',
    tiny_holes: 'tiny holes',
  };
  const PAGE_SIZE = 60;
  const OVERLAYS = ['full', 'line', 'none'];
  const STORE = 'mmcadformer-review:' + data.key;
  const $ = (id) => document.getElementById(id);
  const byId = new Map(data.items.map((item) => [item.id, item]));

  const state = {
    annotator: data.annotator, decisions: {}, notes: {}, times: {}, unsaved: false,
    show: 'all', category: '', flag: '', words: '', order: 'score',
    overlay: 'full', size: 250, list: [], page: 0, current: 0, undo: [],
  };

  // ---- elements -------------------------------------------------------------
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === 'class') element.className = value;
      else if (value !== null) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  function draw(tag, attributes, ...children) {
    const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  function frame(box, kind = 'frame') {
    if (!box) return [];
    const [left, top, right, bottom] = box;
    const where = {x: left, y: top, width: right - left, height: bottom - top};
    return [draw('rect', {class: 'shade', ...where}), draw('rect', {class: kind, ...where})];
  }

  // The other objects that the sentence means.
  function others(item) {
    const own = String(item.box);
    return item.meant.filter((box) => String(box) !== own).flatMap((box) => frame(box, 'frame other'));
  }

  function cropPicture(item) {
    const [x, y, width, height] = item.crop.view;
    return draw('svg', {viewBox: `${x} ${y} ${width} ${height}`},
      draw('image', {href: item.crop.src, x, y, width, height, preserveAspectRatio: 'none'}),
      draw('path', {class: 'mask', d: item.path}),
      draw('path', {class: 'shade of-mask', d: item.path}),
      ...others(item), ...frame(item.box),
      draw('path', {class: 'line', d: item.path}));
  }

  function wholePicture(item) {
    const {width, height, src} = data.images[item.image];
    return draw('svg', {viewBox: `0 0 ${width} ${height}`},
      draw('image', {href: src, x: 0, y: 0, width, height, preserveAspectRatio: 'none'}),
      ...others(item), ...frame(item.box));
  }

  // The whole image, in the lower corner that the object leaves free.
  function inset(item) {
    if (!item.box) return null; // the picture is whole
    const [x, , width] = item.crop.view;
    const right = (item.box[0] + item.box[2]) / 2 > x + width / 2 + 1;
    return make('div', {class: right ? 'inset left' : 'inset'}, wholePicture(item));
  }

  const level = (value) => (value >= 0.5 ? 'high' : value >= 0.15 ? 'mid' : '');

  function scorePill(item) {
    return make('span', {class: 'score ' + level(item.score), title: 'Suspicion: 0 nothing, 1 surely wrong'},
      item.score.toFixed(2));
  }

  function stateBadge(item) {
    const decision = state.decisions[item.id];
    return make('span', {class: 'state ' + (decision || '')}, decision ? DECISIONS[decision].done : '');
  }

  function said(item) {
    return make('div', {class: 'said'}, ...item.expressions.map((text) => make('p', {}, text)));
  }

  function votes(item) {
    if (!item.votes.length) return null;
    return make('ul', {class: 'votes'}, ...item.votes.map((vote) => make('li', {},
      vote.annotator + ': ', make('b', {class: vote.decision}, vote.decision),
      vote.note ? ` “${vote.note}”` : '')));
  }

  // There is no mask to correct where a sentence means nothing.
  const allowed = (item, decision) => item.box || decision !== 'fix';

  function verdict(item) {
    return make('div', {class: 'verdict', role: 'group', 'aria-label': 'Decision'},
      ...Object.entries(DECISIONS).filter(([name]) => allowed(item, name)).map(([name, {label, key}]) => make('button', {
        type: 'button', 'data-decision': name, title: `${label} (${key})`,
        'aria-pressed': String(state.decisions[item.id] === name),
      }, label, ' ', make('kbd', {}, key))));
  }

  function card(item) {
    const chips = Object.entries(item.flags).map(([name, severity]) => make('span', {
      class: 'chip ' + level(severity), title: data.flags[name],
    }, FLAG_NAMES[name] || name));
    if (!item.box) chips.unshift(make('span', {class: 'chip'}, 'means nothing here'));
    if (item.meant.length > 1) chips.unshift(make('span', {class: 'chip'}, `one of ${item.meant.length}`));
    if (item.corrected) chips.unshift(make('span', {class: 'chip'}, 'corrected'));
    const note = state.notes[item.id];
    const element = make('article', {class: 'card', tabindex: '-1', 'data-id': item.id},
      make('div', {class: 'picture', title: 'Large view (Enter)'},
        cropPicture(item), inset(item),
        scorePill(item), stateBadge(item)),
      make('div', {class: 'text'}, said(item),
        chips.length ? make('div', {class: 'chips'}, ...chips) : null,
        votes(item),
        note ? make('p', {class: 'note'}, '“' + note + '”') : null,
        make('div', {class: 'meta'}, `${item.category} · ${item.id}`)),
      verdict(item));
    return element;
  }

  // ---- what is shown ----------------------------------------------------------
  const left = (item) => (item.box ? item.box[0] : 0);
  const ORDERS = {
    score: (a, b) => b.score - a.score,
    trust: (a, b) => a.score - b.score,
    image: (a, b) => a.image.localeCompare(b.image) || left(a) - left(b),
    category: (a, b) => a.category.localeCompare(b.category) || b.score - a.score,
  };

  function wanted(item) {
    const decision = state.decisions[item.id] || 'undecided';
    if (state.show !== 'all' && decision !== state.show) return false;
    if (state.category && item.category !== state.category) return false;
    if (state.flag && !(state.flag in item.flags)) return false;
    const text = [item.id, item.image, item.category, ...item.expressions].join(' ').toLowerCase();
    return state.words.toLowerCase().split(/\s+/).every((word) => text.includes(word));
  }

  // The list stays as it is while decisions are made: nothing jumps away.
  function filter() {
    state.list = data.items.filter(wanted).sort(ORDERS[state.order]);
    state.page = 0;
    state.current = 0;
    showPage();
    showCounts();
  }

  const pages = () => Math.max(1, Math.ceil(state.list.length / PAGE_SIZE));

  function showPage() {
    const start = state.page * PAGE_SIZE;
    const shown = state.list.slice(start, start + PAGE_SIZE);
    $('grid').replaceChildren(...shown.map(card));
    if (!shown.length) $('grid').append(make('p', {class: 'empty'}, 'No mask matches these filters.'));
    $('page').textContent = `Page ${state.page + 1} of ${pages()} · ${state.list.length} masks`;
    $('previous').disabled = state.page === 0;
    $('next').disabled = state.page + 1 >= pages();
    markCurrent(false);
  }

  function turnPage(step) {
    const page = Math.min(Math.max(state.page + step, 0), pages() - 1);
    if (page === state.page) return;
    state.page = page;
    state.current = page * PAGE_SIZE;
    showPage();
    window.scrollTo(0, 0);
  }

  const cardOf = (id) => [...$('grid').children].find((element) => element.dataset.id === id);

  function markCurrent(scroll = true) {
    document.querySelectorAll('.card.current').forEach((element) => element.classList.remove('current'));
    const item = state.list[state.current];
    const element = item && cardOf(item.id);
    if (!element) return;
    element.classList.add('current');
    if (scroll) {
      element.focus({preventScroll: true});
      element.scrollIntoView({block: 'nearest'});
    }
  }

  function select(index) {
    if (!state.list.length) return;
    state.current = Math.min(Math.max(index, 0), state.list.length - 1);
    const page = Math.floor(state.current / PAGE_SIZE);
    if (page !== state.page) {
      state.page = page;
      showPage();
    }
    markCurrent();
    if ($('large').open) showLarge();
  }

  function refresh(id, scroll = true) {
    const old = cardOf(id);
    if (old) old.replaceWith(card(byId.get(id)));
    markCurrent(scroll && !$('large').open);
    if ($('large').open) showLarge();
    showCounts();
  }

  function showCounts() {
    const counts = {all: data.items.length, undecided: 0, accept: 0, fix: 0, reject: 0};
    for (const item of data.items) counts[state.decisions[item.id] || 'undecided'] += 1;
    for (const button of $('states').children) {
      button.querySelector('b').textContent = counts[button.dataset.state];
      button.setAttribute('aria-pressed', String(button.dataset.state === state.show));
    }
    for (const part of $('progress').children) {
      part.style.width = (100 * counts[part.className]) / Math.max(1, counts.all) + '%';
    }
    $('done').textContent = `${counts.all - counts.undecided} of ${counts.all} decided`;
    $('save').classList.toggle('unsaved', state.unsaved);
    $('save').title = state.unsaved ? 'There are decisions that no file has yet (S)' : 'Save to a file (S)';
  }

  // ---- decisions --------------------------------------------------------------
  function decide(id, decision) {
    const before = state.decisions[id] || null;
    if (before === decision) return;
    state.undo.push([id, before]);
    setDecision(id, decision);
  }

  function setDecision(id, decision) {
    if (decision) state.decisions[id] = decision;
    else delete state.decisions[id];
    changed(id);
    refresh(id);
  }

  function undo() {
    const step = state.undo.pop();
    if (!step) return toast('There is nothing to undo.');
    setDecision(...step);
    const index = state.list.findIndex((item) => item.id === step[0]);
    if (index >= 0) select(index);
  }

  function setNote(id, text) {
    if ((state.notes[id] || '') === text) return;
    if (text) state.notes[id] = text;
    else delete state.notes[id];
    changed(id);
    const old = cardOf(id);
    if (old) old.replaceWith(card(byId.get(id)));
    markCurrent(false);
    showCounts();
  }

  // ---- keeping ----------------------------------------------------------------
  function asFile() {
    const decisions = {};
    for (const {id, mask} of data.items) {
      if (state.decisions[id]) {
        decisions[id] = {decision: state.decisions[id], mask, note: state.notes[id] || ''};
      }
    }
    return {format: data.format, version: data.version, annotator: state.annotator, decisions};
  }

  // Each item has the time of its last change: of two tabs, the later one counts.
  function changed(...ids) {
    for (const id of ids) state.times[id] = Math.max(Date.now(), (state.times[id] || 0) + 1);
    state.unsaved = true;
    keep();
  }

  // One review per annotator, so that people who share a computer don't mix.
  function kept() {
    try {
      return JSON.parse(localStorage.getItem(STORE)) || {last: '', reviews: {}};
    } catch {
      return {last: '', reviews: {}};
    }
  }

  function keep(forget = null) {
    merge();
    const all = kept();
    const masks = Object.fromEntries(data.items.map(({id, mask}) => [id, mask]));
    const {annotator, decisions, notes, times, unsaved} = state;
    if (forget !== null) delete all.reviews[forget];
    all.last = annotator;
    all.reviews[annotator] = {decisions, notes, times, unsaved, masks};
    try {
      localStorage.setItem(STORE, JSON.stringify(all));
    } catch {
      warn('This browser keeps no decisions between visits: save to a file before you close the page.');
    }
  }

  // Takes over what another tab has kept since; returns the items that changed.
  function merge() {
    const review = kept().reviews[state.annotator];
    if (!review) return [];
    const times = review.times || {};
    const later = data.items.filter(({id, mask}) =>
      review.masks[id] === mask && (times[id] || 0) > (state.times[id] || 0));
    for (const {id} of later) {
      state.times[id] = times[id];
      delete state.decisions[id];
      delete state.notes[id];
      if (review.decisions[id] in DECISIONS) state.decisions[id] = review.decisions[id];
      if (review.notes[id]) state.notes[id] = review.notes[id];
    }
    if (later.length) state.unsaved = state.unsaved || Boolean(review.unsaved);
    return later;
  }

  function restore(annotator) {
    const review = kept().reviews[annotator];
    Object.assign(state, {annotator, decisions: {}, notes: {}, times: {}, unsaved: false, undo: []});
    if (!review) return;
    // Kept before there were times: as if at the beginning of time.
    for (const {id, mask} of data.items) {
      if (review.masks[id] !== mask) continue;
      if (review.decisions[id] in DECISIONS) state.decisions[id] = review.decisions[id];
      if (review.notes[id]) state.notes[id] = review.notes[id];
      if (review.times && review.times[id]) state.times[id] = review.times[id];
    }
    state.unsaved = Boolean(review.unsaved);
  }

  async function rename() {
    const name = $('annotator').value.trim();
    const before = state.annotator;
    if (name === before) return;
    const known = name in kept().reviews;
    const empty = !Object.keys(state.decisions).length && !Object.keys(state.notes).length;
    let answer = known || (empty && before) ? 'switch' : 'rename';
    if (!known && !empty && before) {
      answer = await ask(`The decisions on this page are by ${before}.`, {
        switch: `Start a review by ${name || 'nobody'}`, rename: `Rename ${before}`, cancel: 'Cancel',
      });
    }
    if (answer === 'switch') restore(name);
    if (answer === 'rename') state.annotator = name;
    if (answer !== 'cancel') keep(answer === 'rename' ? before : null);
    $('annotator').value = state.annotator;
    filter();
  }

  function save() {
    if (!state.annotator) {
      toast('Please enter your name first: reviews are told apart by it.');
      closeLarge();
      $('annotator').focus();
      return;
    }
    merge();
    const blob = new Blob([JSON.stringify(asFile(), null, 1) + '\n'], {type: 'application/json'});
    const name = state.annotator.replace(/[^\p{L}\p{N}_-]+/gu, '_');
    const link = make('a', {href: URL.createObjectURL(blob), download: `review-${name}.json`});
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    state.unsaved = false;
    keep();
    showCounts();
    const loose = Object.keys(state.notes).filter((id) => !state.decisions[id]).length;
    toast(`Saved ${Object.keys(asFile().decisions).length} decisions to ${link.download}.`
      + (loose ? ` ${loose} notes on undecided masks are not in it.` : ''));
  }

  async function load(file) {
    let content;
    try {
      content = JSON.parse(await file.text());
    } catch {
      return toast(`${file.name} is not valid JSON.`);
    }
    if (!content || content.format !== data.format || content.version !== data.version || !content.decisions) {
      return toast(`${file.name} is not a review that this page saved.`);
    }
    const author = String(content.annotator || '');
    if (author && state.annotator && author !== state.annotator) {
      const answer = await ask(`${file.name} holds decisions by ${author}.`, {
        switch: `Go on as ${author}`, take: `Take them over as ${state.annotator}`, cancel: 'Cancel',
      });
      if (answer === 'cancel') return;
      if (answer === 'switch') restore(author);
    }
    state.annotator = state.annotator || author;
    $('annotator').value = state.annotator;
    const found = {taken: 0, changed: 0, unknown: 0};
    const taken = [];
    for (const [id, entry] of Object.entries(content.decisions)) {
      const item = byId.get(id);
      if (!item || !(entry.decision in DECISIONS)) found.unknown += 1;
      else if (entry.mask !== item.mask) found.changed += 1;
      else {
        state.decisions[id] = entry.decision;
        if (entry.note) state.notes[id] = String(entry.note);
        else delete state.notes[id];
        taken.push(id);
      }
    }
    found.taken = taken.length;
    state.undo = [];
    changed(...taken);
    filter();
    toast(`Loaded ${found.taken} decisions from ${file.name}.`
      + (found.changed ? ` ${found.changed} left out: their masks have changed.` : '')
      + (found.unknown ? ` ${found.unknown} are not on this page.` : ''));
  }

  // ---- large view -------------------------------------------------------------
  const currentItem = () => state.list[state.current];

  function showLarge() {
    const item = currentItem();
    if (!item) return;
    const box = $('large');
    const part = (name) => box.querySelector('.' + name);
    part('stage').replaceChildren(cropPicture(item));
    part('score').replaceWith(scorePill(item));
    part('state').replaceWith(stateBadge(item));
    part('said').replaceWith(said(item));
    part('whole').replaceChildren(wholePicture(item));
    part('reasons').replaceChildren(...Object.keys(item.flags).map((name) => make('li', {}, data.flags[name])));
    const m = item.measures;
    const percent = (value) => (100 * value).toFixed(1) + ' %';
    const facts = {
      category: item.category, item: item.id, image: item.image, 'area': `${m.area} px`,
      'IoU that SAM expects': m.predicted_iou === null ? '-' : m.predicted_iou.toFixed(3),
      'IoU of box and mask\u2019s box': m.box_iou.toFixed(3),
      'outside the box': percent(m.outside_share), 'fills of the box': percent(m.area_ratio),
      'box edge covered': percent(m.edge_contact),
      'parts / holes (tiny)': `${m.components} / ${m.holes} (${m.tiny_holes})`,
    };
    const told = item.box ? Object.entries(facts) : Object.entries(facts).slice(0, 3);
    part('facts').replaceChildren(...told.flatMap(([name, value]) =>
      [make('dt', {}, name), make('dd', {}, value)]));
    part('votes').replaceWith(votes(item) || make('ul', {class: 'votes'}));
    part('verdict').replaceWith(verdict(item));
    box.querySelector('textarea').value = state.notes[item.id] || '';
    box.querySelector('.steps output').textContent = `${state.current + 1} of ${state.list.length}`;
    if (!box.open) {
      box.showModal();
      part('stage').focus();
    }
  }

  function closeLarge() {
    if ($('large').open) $('large').close();
  }

  // ---- messages ---------------------------------------------------------------
  let timer = 0;
  function toast(text) {
    const host = document.querySelector('dialog[open]') || document.body;
    host.append($('toast'));
    $('toast').textContent = text;
    $('toast').classList.add('shown');
    clearTimeout(timer);
    timer = setTimeout(() => $('toast').classList.remove('shown'), 6000);
  }

  // Resolves to the name of the button; to the last one when it is closed.
  function ask(text, buttons) {
    const names = Object.keys(buttons);
    $('ask').replaceChildren(make('p', {}, text), make('div', {class: 'row'}, ...names.map((name, index) =>
      make('button', {type: 'button', value: name, class: index ? '' : 'primary'}, buttons[name]))));
    $('ask').returnValue = names.at(-1);
    $('ask').showModal();
    return new Promise((resolve) => {
      $('ask').addEventListener('close', () => resolve($('ask').returnValue), {once: true});
    });
  }

  function warn(text) {
    $('warning').textContent = text;
    $('warning').hidden = false;
  }

  // ---- events -----------------------------------------------------------------
  function setOverlay(name) {
    state.overlay = name;
    document.body.dataset.overlay = name;
    for (const button of $('overlay').children) {
      button.setAttribute('aria-pressed', String(button.dataset.overlay === name));
    }
  }

  function options(element, all, entries) {
    element.replaceChildren(make('option', {value: ''}, all),
      ...entries.map(([value, label]) => make('option', {value}, label)));
  }

  const count = (test) => data.items.filter(test).length;
  options($('category'), 'Every category', [...new Set(data.items.map((item) => item.category))].sort()
    .map((name) => [name, `${name} (${count((item) => item.category === name)})`]));
  options($('flag'), 'Every flag', Object.keys(data.flags).filter((name) => count((item) => name in item.flags))
    .map((name) => [name, `${FLAG_NAMES[name] || name} (${count((item) => name in item.flags)})`]));

  $('states').addEventListener('click', (event) => {
    const button = event.target.closest('button');
    if (!button) return;
    state.show = button.dataset.state;
    filter();
  });
  for (const [id, key] of [['category', 'category'], ['flag', 'flag'], ['order', 'order'], ['search', 'words']]) {
    $(id).addEventListener('input', () => { state[key] = $(id).value; filter(); });
  }
  $('annotator').addEventListener('change', rename);
  $('size').addEventListener('input', () => document.documentElement.style.setProperty('--size', $('size').value + 'px'));
  $('overlay').addEventListener('click', (event) => {
    const button = event.target.closest('button');
    if (button) setOverlay(button.dataset.overlay);
  });
  $('save').addEventListener('click', save);
  $('load').addEventListener('click', () => $('file').click());
  $('file').addEventListener('change', async () => {
    const [file] = $('file').files;
    if (file) await load(file);
    $('file').value = '';
  });
  $('help').addEventListener('click', () => $('keys').showModal());
  $('previous').addEventListener('click', () => turnPage(-1));
  $('next').addEventListener('click', () => turnPage(1));

  $('grid').addEventListener('click', (event) => {
    const element = event.target.closest('.card');
    if (!element) return;
    const {id} = element.dataset;
    state.current = state.list.findIndex((item) => item.id === id);
    const button = event.target.closest('[data-decision]');
    if (button) return toggle(id, button.dataset.decision);
    markCurrent();
    if (event.target.closest('.picture')) showLarge();
  });

  function toggle(id, decision) {
    decide(id, state.decisions[id] === decision ? null : decision);
  }

  $('large').addEventListener('click', (event) => {
    const decision = event.target.closest('[data-decision]');
    if (decision) return toggle(currentItem().id, decision.dataset.decision);
    const step = event.target.closest('[data-do]');
    if (step && step.dataset.do === 'back') select(state.current - 1);
    if (step && step.dataset.do === 'forth') select(state.current + 1);
    if (event.target === $('large') || (step && step.dataset.do === 'close')) closeLarge();
  });
  $('large').addEventListener('close', () => markCurrent());
  $('large').querySelector('textarea').addEventListener('input', (event) =>
    setNote(currentItem().id, event.target.value.trim()));
  $('keys').addEventListener('click', (event) => {
    if (event.target === $('keys') || event.target.closest('[data-do]')) $('keys').close();
  });

  $('ask').addEventListener('click', (event) => {
    const button = event.target.closest('button');
    if (button) $('ask').close(button.value);
  });

  function columns() {
    return getComputedStyle($('grid')).gridTemplateColumns.split(' ').length;
  }

  function keyDecision(decision) {
    const item = currentItem();
    if (!item || !allowed(item, decision)) return;
    decide(item.id, decision);
    if (decision) select(state.current + 1);
  }

  const KEYS = {
    a: () => keyDecision('accept'), f: () => keyDecision('fix'), r: () => keyDecision('reject'),
    u: () => keyDecision(null), m: () => setOverlay(OVERLAYS[(OVERLAYS.indexOf(state.overlay) + 1) % 3]),
    n: () => { showLarge(); $('large').querySelector('textarea').focus(); },
    s: save, '?': () => $('keys').showModal(),
    arrowright: () => select(state.current + 1), arrowleft: () => select(state.current - 1),
    arrowdown: () => select(state.current + ($('large').open ? 1 : columns())),
    arrowup: () => select(state.current - ($('large').open ? 1 : columns())),
    enter: () => ($('large').open ? closeLarge() : showLarge()),
  };

  document.addEventListener('keydown', (event) => {
    const typing = event.target.closest('input, textarea, select');
    if (typing && (event.key === 'Escape' || (event.key === 'Enter' && typing === $('annotator')))) {
      event.preventDefault();
      typing.blur();
      return;
    }
    if (typing || $('keys').open || $('ask').open) return;
    const key = event.key.toLowerCase();
    if (key === 'z' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      return undo();
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    // A button that has the focus is pressed by Enter, as everywhere.
    if (key === 'enter' && event.target.closest('button')) return;
    if (KEYS[key]) {
      event.preventDefault();
      KEYS[key]();
    }
  });

  // Another tab of this browser has kept something.
  window.addEventListener('storage', (event) => {
    if (event.key !== STORE) return;
    for (const {id} of merge()) refresh(id, false);
  });

  window.addEventListener('beforeunload', (event) => {
    if (!$('warning').hidden && state.unsaved) event.preventDefault();
  });

  restore(data.annotator || kept().last);
  $('annotator').value = state.annotator;
  $('size').value = String(state.size);
  setOverlay(state.overlay);
  filter();
})();
