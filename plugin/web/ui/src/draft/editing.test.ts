import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Review, type Section, Shelf } from './autosave';
import { Editing, SAVE_AFTER, TRY_AGAIN } from './editing';

const section = (text: string): Section[] => [{ heading: 'findings', title: 'Findings', text }];
const review = (version: number, text: string): Review => ({
  version,
  draft_revision: 1,
  sections: section(text),
  state: 'open',
  saved_by: 'Dr. B',
  saved_at: null,
  reason: null,
  history: [],
  object: null,
});

describe('work on a report', () => {
  let shelf: Shelf;
  let editing: Editing;
  let answers: [number, unknown][];
  let asked: { method: string; path: string; body: unknown }[];
  const textOf = () => editing.sections.value[0]?.text;
  beforeEach(() => {
    vi.useFakeTimers();
    localStorage.clear();
    answers = [];
    asked = [];
    vi.stubGlobal('fetch', (path: string, init: { method: string; body: string }) => {
      asked.push({ method: init.method, path, body: JSON.parse(init.body) });
      const [status, body] = answers.shift() ?? [200, null];
      if (status === 0) return Promise.reject(new TypeError('no network'));
      return Promise.resolve(new Response(JSON.stringify(body), { status }));
    });
    shelf = new Shelf('ada', '1.2');
    editing = new Editing('1.2', review(1, 'old'), shelf);
  });
  afterEach(() => {
    editing.stop();
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it('is saved after a pause, and at once survives a closed window', async () => {
    answers = [[200, review(2, 'new')]];
    editing.change(section('new'));
    expect(shelf.get()).toEqual({ version: 1, sections: section('new') });
    await vi.advanceTimersByTimeAsync(SAVE_AFTER);
    expect(editing.saving.value).toBe('saved');
    expect(editing.review.value.version).toBe(2);
    expect(shelf.get()).toBeNull();
    editing = new Editing('1.2', review(2, 'new'), shelf);
    editing.change(section('closed window'));
    editing.stop();
    editing = new Editing('1.2', review(2, 'new'), shelf);
    expect(textOf()).toBe('closed window');
    expect(editing.saving.value).toBe('unsaved');
    editing.undo();
    expect(textOf()).toBe('new');
  });

  it('waits for a server that does not answer, and tries again', async () => {
    answers = [
      [0, null],
      [200, review(2, 'new')],
    ];
    editing.change(section('new'));
    expect(await editing.flush()).toBe(false);
    expect(editing.saving.value).toBe('waiting');
    await vi.advanceTimersByTimeAsync(TRY_AGAIN);
    expect(editing.saving.value).toBe('saved');
  });

  it('does not repeat what was refused, and says why', async () => {
    answers = [[403, { error: 'you may not', code: 'forbidden' }]];
    editing.change(section('new'));
    expect(await editing.flush()).toBe(false);
    expect([editing.saving.value, editing.problem.value?.message]).toEqual([
      'refused',
      'you may not',
    ]);
    await vi.advanceTimersByTimeAsync(10 * TRY_AGAIN);
    expect(asked).toHaveLength(1);
    expect(shelf.get()?.sections).toEqual(section('new'));
  });

  it('asks who saved meanwhile, and goes on upon the choice', async () => {
    answers = [
      [412, review(5, 'theirs')],
      [200, review(6, 'both')],
    ];
    editing.change(section('mine'));
    expect(await editing.flush()).toBe(false);
    expect(editing.conflict.value?.theirs.sections).toEqual(section('theirs'));
    expect(textOf()).toBe('mine');
    editing.resolve(section('both'));
    expect(await editing.flush()).toBe(true);
    expect(asked.at(-1)?.body).toEqual({ sections: section('both') });
    editing.undo();
    expect(textOf()).toBe('mine');
  });

  it('saves what was typed while it was being saved', async () => {
    answers = [
      [200, review(2, 'one')],
      [200, review(3, 'one two')],
    ];
    editing.change(section('one'));
    const flushed = editing.flush();
    editing.change(section('one two'));
    expect(await flushed).toBe(true);
    expect(editing.review.value.version).toBe(3);
    expect(shelf.get()).toBeNull();
  });

  it('is saved once where the server keeps it in its own form', async () => {
    answers = [[200, review(2, 'new')]];
    editing.change(section('new  '));
    expect(await editing.flush()).toBe(true);
    expect([asked.length, textOf(), editing.saving.value]).toEqual([1, 'new  ', 'saved']);
  });

  it('is decided only once all is saved, upon that version', async () => {
    answers = [
      [200, review(2, 'new')],
      [200, { ...review(3, 'new'), state: 'rejected' }],
    ];
    editing.change(section('new'));
    expect(await editing.decide('reject', { reason: 'wrong side' })).toBe(true);
    expect(asked.map((one) => one.path)).toEqual([
      '/api/studies/1.2/review',
      '/api/studies/1.2/review/reject',
    ]);
    expect(asked[1]?.body).toEqual({ version: 2, reason: 'wrong side' });
    expect(editing.review.value.state).toBe('rejected');
  });

  it('is not decided over what somebody else saved: that is shown first', async () => {
    answers = [[412, review(7, 'theirs')]];
    expect(await editing.decide('accept')).toBe(false);
    expect(textOf()).toBe('theirs');
    expect(editing.review.value.state).toBe('open');
  });

  it('is saved where the same text stands on the server already', async () => {
    editing.change(section('mine'));
    editing.receive(review(4, 'mine'));
    expect([editing.conflict.value, editing.saving.value]).toEqual([null, 'saved']);
    expect([editing.review.value.version, shelf.get()]).toEqual([4, null]);
    await vi.advanceTimersByTimeAsync(10 * SAVE_AFTER);
    expect(asked).toHaveLength(0);
  });

  it('takes what another saved only where nothing is unsaved', () => {
    editing.receive(review(2, 'theirs'));
    editing.receive(review(1, 'asked for before, answered late'));
    expect(textOf()).toBe('theirs');
    editing.receive({
      ...review(2, ' theirs'),
      object: { sop_instance_uid: '1', state: 'proved' },
    });
    expect([textOf(), editing.review.value.object?.state]).toEqual(['theirs', 'proved']);
    editing.change(section('mine'));
    editing.receive(review(3, 'theirs again'));
    expect(textOf()).toBe('mine');
    expect(editing.conflict.value?.theirs.version).toBe(3);
  });
});
