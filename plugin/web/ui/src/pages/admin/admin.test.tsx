import { render } from 'preact';
import { act } from 'preact/test-utils';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { session } from '../../api/session';
import { language } from '../../i18n/i18n';
import { Admin } from './admin';

const events = [
  { time: '2026-11-28T10:00:00Z', kind: 'received', level: 'info', message: 'first instance' },
  { time: '2026-11-28T10:05:00Z', kind: 'failed', level: 'alert', message: 'no draft: no images' },
];
const study = {
  study_instance_uid: '1.2.3',
  accession_number: 'A1',
  sender: 'CT1',
  state: 'drafted',
  verdict: 'draft 1 (complete): pacs failed',
  urgency: 'routine',
  decision: null,
  instances: 3,
  first_received_at: '2026-11-28T10:00:00Z',
  last_received_at: '2026-11-28T10:00:00Z',
  draft: { revision: 1, state: 'complete', retracted: false, deliveries: [] },
};
const delivery = {
  id: 7,
  study_instance_uid: '1.2.3',
  accession_number: 'A1',
  revision: 1,
  is_current: true,
  rejection_note: false,
  destination: 'pacs',
  state: 'failed',
  attempts: 3,
  last_error: 'refused: 0xA900',
  not_before: '2026-11-28T10:00:00Z',
  sent_at: null,
  proved_at: null,
};
const answers: Record<string, unknown> = {
  'GET /api/admin/studies': { studies: [study] },
  'GET /api/admin/studies/1.2.3/timeline': { ...study, events },
  'POST /api/admin/studies/1.2.3/retract': {},
  'GET /api/admin/deliveries?state=failed': { deliveries: [delivery], next: null },
  'POST /api/admin/deliveries/7/retry': { due: 1 },
  'GET /api/admin/users': {
    users: [
      {
        name: 'bob',
        display_name: 'Bob',
        roles: ['reader'],
        locked_until: null,
        directory: 'house',
      },
    ],
  },
  'GET /api/admin/tokens': { tokens: [] },
  'PUT /api/admin/users/bob/roles': {},
  'POST /api/admin/tokens': { token: 'ctscribe_secret' },
};

describe('the pages of administrators', () => {
  const page = document.createElement('div');
  const fetched = vi.fn((path: string, init: RequestInit) => {
    const found = answers[`${init.method ?? ''} ${path}`];
    const status = found === undefined ? 404 : 200;
    return Promise.resolve(new Response(JSON.stringify(found ?? { error: 'gone' }), { status }));
  });
  const settle = (): Promise<void> =>
    act(() => new Promise<void>((done) => setTimeout(done)));
  const open = async (name: string): Promise<void> => {
    void act(() => render(<Admin page={name} />, page));
    await settle();
  };
  const press = async (words: string): Promise<void> => {
    const buttons = [...page.querySelectorAll('button')];
    const found = buttons.findLast((one) => one.textContent.includes(words));
    expect(found, words).toBeDefined();
    void act(() => found?.click());
    await settle();
  };
  const send = (): Promise<void> =>
    act(async () => {
      const form = page.querySelector('dialog form');
      form?.dispatchEvent(new SubmitEvent('submit', { cancelable: true, bubbles: true }));
      await new Promise((done) => setTimeout(done));
    });
  const asked = (): string[] => fetched.mock.calls.map(([path, init]) => `${init.method} ${path}`);
  const signIn = (...roles: ('reader' | 'administrator')[]): void => {
    const user = { name: 'ada', display_name: 'Ada', roles };
    session.value = { ...session.value, user, csrf: 'x', version: '1' };
  };
  beforeEach(() => {
    language.value = 'en';
    signIn('administrator');
    vi.stubGlobal('fetch', fetched);
    fetched.mockClear();
    document.body.append(page);
  });
  afterEach(() => {
    render(null, page);
    history.replaceState(null, '', '/');
    vi.unstubAllGlobals();
  });

  it('are shown to nobody else', async () => {
    signIn('reader');
    await open('studies');
    expect(page.textContent).toBe('These pages are for administrators.');
    expect(fetched).not.toHaveBeenCalled();
  });

  it('tell why a study has no draft, and take a draft back with a reason', async () => {
    await open('studies');
    await press('A1');
    expect(page.querySelector('.verdict')?.textContent).toBe('draft 1 (complete): pacs failed');
    expect(page.querySelector('.timeline .alert')?.textContent).toContain('Alert: No draft no draft');
    expect(location.search).toBe('?study=1.2.3');
    await press('Retract the draft');
    const reason = page.querySelector<HTMLInputElement>('dialog input');
    void act(() => {
      if (reason) reason.value = 'wrong side';
      reason?.dispatchEvent(new Event('input', { bubbles: true }));
    });
    await send();
    const sent = fetched.mock.calls.find(([, init]) => init.method === 'POST');
    expect(sent?.[1].body).toBe('{"reason":"wrong side"}');
  });

  it('try a failed delivery again', async () => {
    await open('deliveries');
    expect(page.querySelector('tbody')?.textContent).toContain('refused: 0xA900');
    await press('Try again');
    const list = 'GET /api/admin/deliveries?state=failed';
    expect(asked()).toEqual([list, 'POST /api/admin/deliveries/7/retry', list]);
  });

  it('give a user other roles', async () => {
    await open('people');
    expect(page.querySelector('tbody')?.textContent).toContain('by directory house');
    await press('Roles');
    page.querySelector<HTMLInputElement>('[value=radiologist]')?.click();
    await send();
    const sent = fetched.mock.calls.find(([, init]) => init.method === 'PUT');
    expect(sent?.[1].body).toBe('{"roles":["reader","radiologist"]}');
  });

  it('show a token once', async () => {
    await open('people');
    await press('Make a token');
    const first = page.querySelector<HTMLInputElement>('[name=scope]');
    expect(first?.validity.valid).toBe(false);
    first?.click();
    expect(first?.validity.valid).toBe(true);
    const name = page.querySelector<HTMLInputElement>('[name=name]');
    if (name) name.value = 'ohif';
    await send();
    const sent = fetched.mock.calls.find(([, init]) => init.method === 'POST');
    expect(sent?.[1].body).toBe('{"name":"ohif","scopes":["dicomweb-read"],"days":365}');
    expect(page.querySelector('dialog code')?.textContent).toBe('ctscribe_secret');
  });

  it('say what the server refuses', async () => {
    await open('disk');
    expect(page.querySelector('[role=alert]')?.textContent).toBe('gone');
  });
});
