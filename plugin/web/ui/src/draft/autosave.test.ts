import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Review, type Section, Shelf, forgetUnsaved, reopened, save } from './autosave';

const section = (text: string): Section[] => [{ heading: 'FINDINGS', title: 'Findings', text }];
const review = (version: number, text: string): Review => ({
  version,
  draft_revision: 1,
  sections: section(text),
  state: 'open',
  reason: null,
  history: [],
  object: null,
  saved_by: 'Dr. B',
  saved_at: '2026-01-01T00:00:00Z',
});
const answers = (status: number, body: unknown) => {
  const fetched = vi.fn<(path: string, init: RequestInit) => Promise<Response>>(() =>
    Promise.resolve(new Response(JSON.stringify(body), { status })),
  );
  vi.stubGlobal('fetch', fetched);
  return fetched;
};

describe('an edited report', () => {
  let shelf: Shelf;
  beforeEach(() => {
    localStorage.clear();
    shelf = new Shelf('ada', '1.2.3');
    shelf.put({ version: 4, sections: section('mine') });
  });
  afterEach(() => vi.unstubAllGlobals());

  it('is saved upon the version that was changed, and leaves the shelf', async () => {
    const fetched = answers(200, review(5, 'mine'));
    const outcome = await save('1.2.3', 4, section('mine'), shelf);
    expect(outcome).toEqual({ kind: 'current', review: review(5, 'mine') });
    expect(fetched.mock.calls[0]?.[1].headers).toMatchObject({ 'If-Match': '"4"' });
    expect(shelf.get()).toBeNull();
  });

  it('leaves the browser with its reader, and takes nothing else along', () => {
    localStorage.setItem('other', 'stays');
    forgetUnsaved();
    expect([shelf.get(), localStorage.getItem('other')]).toEqual([null, 'stays']);
  });

  it('keeps what was typed while it was being saved', async () => {
    answers(200, review(5, 'mine'));
    shelf.put({ version: 4, sections: section('mine and more') });
    await save('1.2.3', 4, section('mine'), shelf);
    expect(shelf.get()).toEqual({ version: 5, sections: section('mine and more') });
  });

  it('never overwrites what somebody else saved: both texts stay', async () => {
    answers(412, review(5, 'theirs'));
    const outcome = await save('1.2.3', 4, section('mine'), shelf);
    expect(outcome).toEqual({
      kind: 'conflict',
      theirs: review(5, 'theirs'),
      mine: section('mine'),
    });
    expect(shelf.get()).toEqual({ version: 4, sections: section('mine') });
  });

  it('is no conflict with itself where an answer was lost', async () => {
    answers(412, review(5, 'mine'));
    const outcome = await save('1.2.3', 4, section('mine'), shelf);
    expect(outcome.kind).toBe('current');
    expect(shelf.get()).toBeNull();
  });

  it.each([
    [503, 'busy'],
    [401, 'no-session'],
  ])('waits on the shelf where the server says %d', async (status, code) => {
    answers(status, { error: 'not now', code });
    const outcome = await save('1.2.3', 4, section('mine'), shelf);
    expect(outcome).toMatchObject({ kind: 'waiting', why: { status, code } });
    expect(shelf.get()?.sections).toEqual(section('mine'));
  });

  it('waits where there is no network', async () => {
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('no network')));
    const outcome = await save('1.2.3', 4, section('mine'), shelf);
    expect(outcome).toMatchObject({ kind: 'waiting', why: { code: 'unreachable' } });
  });

  it('comes back after the browser was closed', () => {
    expect(reopened(review(4, 'draft'), shelf.get())).toEqual({
      kind: 'current',
      review: review(4, 'mine'),
    });
  });

  it('asks which text to keep where somebody saved while the browser was closed', () => {
    expect(reopened(review(5, 'theirs'), shelf.get()).kind).toBe('conflict');
  });

  it('is nobody else’s, and of no other study', () => {
    expect(new Shelf('bob', '1.2.3').get()).toBeNull();
    expect(new Shelf('ada', '1.2.4').get()).toBeNull();
  });

  it('says where the browser keeps nothing, and reads over what it cannot read', () => {
    const broken = {
      setItem: () => {
        throw new DOMException('full', 'QuotaExceededError');
      },
      getItem: () => '{',
    } as unknown as Storage;
    const full = new Shelf('ada', '1.2.3', broken);
    expect(full.put({ version: 1, sections: [] })).toBe(false);
    expect(full.get()).toBeNull();
  });
});
