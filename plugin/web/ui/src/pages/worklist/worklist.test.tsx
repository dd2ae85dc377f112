import { render } from 'preact';
import { act } from 'preact/test-utils';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Row, Worklist } from '../../api/worklist';
import { language } from '../../i18n/i18n';
import { opened, queue } from './list';
import { chosenOf, countOf, queryOf } from './views';
import { WorklistPage } from './worklist';

const row = (study: string, name: string): Row => ({
  study_instance_uid: study,
  accession_number: `A${study}`,
  patient: { name, id: 'P1', birth_date: '1960-11-29', sex: 'F' },
  description: 'CT chest',
  study_date: '2026-11-28',
  received_at: new Date(Date.now() - 5 * 60_000).toISOString(),
  urgency: 'stat',
  state: 'draft',
  model: 'm',
  revision: 1,
  readers: ['Ann'],
  reviewed_by: null,
  undelivered: 0,
});

/** Stands for the server's events; a test sends what it wants. */
class Events extends EventTarget {
  static newest: Events;
  onopen = (): void => undefined;
  onerror = (): void => undefined;
  constructor() {
    super();
    Events.newest = this;
  }
  close(): void {
    return undefined;
  }
}

describe('the worklist', () => {
  const page = document.createElement('div');
  let told: Worklist;
  let asked: string[];
  const settle = (ms = 0) => act(() => new Promise((done) => setTimeout(done, ms)));
  const press = (key: string) =>
    act(() => {
      document.activeElement?.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
    });
  beforeEach(async () => {
    language.value = 'en';
    opened.value = null;
    asked = [];
    told = {
      studies: [row('1.1', 'DOE^JANE'), row('1.2', 'ROE^JIM'), row('1.3', '')],
      counts: { draft: 2, later: 1, failed: 4 },
      next: null,
    };
    vi.stubGlobal('EventSource', Events);
    vi.stubGlobal('fetch', (path: string) => {
      asked.push(path);
      return Promise.resolve(new Response(JSON.stringify(told)));
    });
    history.replaceState(null, '', '/');
    document.body.append(page);
    void act(() => render(<WorklistPage />, page));
    await settle();
  });
  afterEach(() => {
    render(null, page);
    vi.unstubAllGlobals();
  });

  it('shows what is to be read, with age, patient, study and state', () => {
    expect(asked).toEqual(['/api/worklist?limit=100&state=draft%2Cpartial%2Clater']);
    const [first] = page.querySelectorAll('tbody tr');
    expect(first?.textContent).toBe(
      'STAT5 minDOE, JANEP1 · 65 y · femaleCT chest28 Nov 2026 · A1.1mDraftopen with Ann',
    );
    expect(page.querySelector('.views [aria-pressed=true]')?.textContent).toBe('To read 3');
    expect(queue.value).toEqual(['1.1', '1.2', '1.3']);
  });

  it('is walked by keys, and Enter opens', async () => {
    await press('j');
    await press('ArrowDown');
    expect(document.activeElement?.textContent).toBe('ROE, JIM');
    await press('k');
    expect(document.activeElement?.textContent).toBe('DOE, JANE');
    expect(document.activeElement?.getAttribute('href')).toBe('/study/1.1');
    await press('/');
    expect(document.activeElement?.getAttribute('type')).toBe('search');
    await press('j');
    expect(document.activeElement?.getAttribute('type')).toBe('search');
    await press('Enter');
    expect(document.activeElement?.textContent).toBe('DOE, JANE');
  });

  it('keeps in the address what is looked at', async () => {
    void act(() => page.querySelectorAll<HTMLElement>('.views button')[3]?.click());
    await settle();
    expect(location.search).toBe('?view=done');
    expect(asked.at(-1)).toContain('state=accepted%2Crejected%2Cretracted');
  });

  it('follows what the server tells', async () => {
    told = { ...told, studies: [row('1.9', 'NEW^ONE')] };
    const data = JSON.stringify({ study_instance_uid: '1.9' });
    Events.newest.dispatchEvent(new MessageEvent('study', { data }));
    await settle(500);
    expect(page.querySelector('tbody a')?.textContent).toBe('NEW, ONE');
  });

  it('says when it is not live, and looks again when it is', async () => {
    void act(() => Events.newest.onerror());
    expect(page.querySelector('[role=alert]')?.textContent).toMatch(/not live/);
    const before = asked.length;
    void act(() => Events.newest.onopen());
    await settle(500);
    expect(asked.length).toBe(before + 1);
    expect(page.querySelector('[role=alert]')?.textContent).toBe('');
  });
});

describe('views', () => {
  it('go into the address and come back', () => {
    const chosen = { view: 'all', urgency: 'stat', model: 'm', search: 'Doe & Co' } as const;
    expect(chosenOf(queryOf(chosen))).toEqual(chosen);
    expect(queryOf(chosenOf('?view=__proto__&urgency=no'))).toBe('');
  });

  it('count the states that they show', () => {
    expect(countOf('all', { draft: 1, failed: 2 })).toBe(3);
    expect(countOf('without-draft', { draft: 1, failed: 2 })).toBe(2);
  });
});
