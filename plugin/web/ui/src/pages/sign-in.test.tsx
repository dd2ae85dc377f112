import { render } from 'preact';
import { act } from 'preact/test-utils';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ask } from '../api/client';
import { expired, loadSession, session } from '../api/session';
import { language } from '../i18n/i18n';
import { SignIn } from './sign-in';

const nobody = { user: null, csrf: null, version: '1' };
const ada = { name: 'ada', display_name: 'Ada', roles: ['reader'] };
const answers = (status: number, body: unknown) => {
  const fetched = vi.fn<(path: string, init: RequestInit) => Promise<Response>>(() =>
    Promise.resolve(new Response(JSON.stringify(body), { status })),
  );
  vi.stubGlobal('fetch', fetched);
  return fetched;
};

describe('signing in', () => {
  const page = document.createElement('div');
  const send = async (): Promise<void> => {
    const type = (name: string, value: string): void => {
      const field = page.querySelector<HTMLInputElement>(`[name=${name}]`);
      if (field) field.value = value;
    };
    type('name', 'ada');
    type('password', 'secret');
    await act(async () => {
      page.querySelector('form')?.dispatchEvent(new SubmitEvent('submit', { cancelable: true }));
      await new Promise((done) => setTimeout(done));
    });
  };
  beforeEach(() => {
    language.value = 'en';
    expired.value = false;
    document.body.append(page);
    void act(() => render(<SignIn />, page));
  });
  afterEach(() => {
    render(null, page);
    vi.unstubAllGlobals();
  });

  it('begins a session, whose token every change carries', async () => {
    const fetched = answers(200, { user: ada, csrf: 'token', version: '1' });
    await send();
    expect(fetched.mock.calls[0]?.[1].body).toBe('{"name":"ada","password":"secret"}');
    expect(session.value?.user?.display_name).toBe('Ada');
    await ask('POST', '/api/x', {});
    expect(fetched.mock.lastCall?.[1].headers).toMatchObject({ 'X-CSRF-Token': 'token' });
  });

  it.each([
    [401, 'wrong-password', /name or the password is wrong/],
    [429, 'locked', /too many wrong passwords/],
    [500, 'broken', /ask your administrator/],
  ])('says why it was refused: %d %s', async (status, code, words) => {
    answers(status, { error: 'x', code });
    await send();
    expect(page.querySelector('[role=alert]')?.textContent).toMatch(words);
    expect(page.querySelector('button')?.disabled).toBe(false);
  });

  it('leads to directories, and back to the present page', async () => {
    answers(200, { ...nobody, providers: [{ id: 'house', title: 'House' }] });
    await act(loadSession);
    const way = page.querySelector<HTMLAnchorElement>('a.way');
    expect(way?.textContent).toBe('House');
    expect(way?.getAttribute('href')).toBe('/api/session/oidc/house?next=%2F');
  });

  it('leads through a directory to the study that a RIS wanted', async () => {
    history.replaceState(null, '', '/sign-in?accession=A%26+1');
    answers(200, { ...nobody, providers: [{ id: 'house', title: 'House' }] });
    await act(loadSession);
    const way = page.querySelector<HTMLAnchorElement>('a.way')?.href ?? '';
    expect(new URL(way).searchParams.get('next')).toBe('/study?accession=A%26+1');
    history.replaceState(null, '', '/');
  });

  it('says what a directory said', () => {
    history.replaceState(null, '', '/sign-in?problem=no-role');
    render(null, page);
    void act(() => render(<SignIn />, page));
    expect(page.querySelector('[role=alert]')?.textContent).toMatch(/no role here/);
    history.replaceState(null, '', '/');
  });

  it('says that a session has ended, once there was one', async () => {
    answers(200, nobody);
    await loadSession();
    answers(401, { error: 'sign in first', code: 'no-session' });
    await expect(ask('GET', '/api/x')).rejects.toThrow('sign in first');
    expect(expired.value).toBe(false);
    answers(200, { user: ada, csrf: 'token', version: '1' });
    await loadSession();
    answers(401, { error: 'sign in first', code: 'no-session' });
    await act(() => expect(ask('GET', '/api/x')).rejects.toThrow('sign in first'));
    expect(session.value?.user).toBeNull();
    expect(page.querySelector('[role=status]')?.textContent).toMatch(/session has ended/);
  });
});
