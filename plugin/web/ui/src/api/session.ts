/** Who is signed in. */
import { signal } from '@preact/signals';
import { forgetUnsaved } from '../draft/autosave';
import { isLanguage, language } from '../i18n/i18n';
import { ask, onExpired, useCsrf } from './client';

export type Role = 'reader' | 'radiologist' | 'administrator';

export interface User {
  name: string;
  display_name: string;
  roles: Role[];
  /** What the reader chose; null where the browser's holds. */
  language?: string | null;
}

/** A directory that people sign in with. */
export interface Provider {
  id: string;
  title: string;
}

export interface Session {
  user: User | null;
  csrf: string | null;
  version: string;
  providers?: Provider[];
}

/** Undefined until the server has said who it is. */
export const session = signal<Session | undefined>(undefined);

/** Whether a session ended by itself: the page then says so, and does not just ask again. */
export const expired = signal(false);

onExpired(() => {
  expired.value = Boolean(session.value?.user);
  if (session.value) session.value = { ...session.value, user: null, csrf: null };
});

export async function loadSession(): Promise<void> {
  keep(await ask<Session>('GET', '/api/session'));
}

export async function signIn(name: string, password: string): Promise<void> {
  keep(await ask<Session>('POST', '/api/session', { name, password }));
  expired.value = false;
}

/** Where the browser signs in with a directory; it comes back to what was wanted. */
export function wayTo(provider: Provider): string {
  const page = location.pathname === '/sign-in' ? afterSignIn() : location.pathname + location.search;
  return `/api/session/oidc/${provider.id}?${new URLSearchParams({ next: page }).toString()}`;
}

/** Where the sign-in page leads: to the study that a RIS wanted to open, or the worklist. */
export function afterSignIn(): string {
  const accession = new URLSearchParams(location.search).get('accession');
  return accession ? `/study?${new URLSearchParams({ accession }).toString()}` : '/';
}

/** Whether who is signed in may edit and decide. */
export function isRadiologist(): boolean {
  return session.value?.user?.roles.includes('radiologist') ?? false;
}

type Leaving = () => Promise<boolean>;

const leaving = new Set<Leaving>();

/** Ask this before somebody leaves; false keeps them. The returned function takes it back. */
export function beforeLeaving(action: Leaving): () => void {
  leaving.add(action);
  return () => leaving.delete(action);
}

/** End the session, once all is saved. Nothing of a patient stays in this browser. */
export async function signOut(): Promise<void> {
  const answers = await Promise.all([...leaving].map((action) => action()));
  if (answers.includes(false)) return;
  await ask('DELETE', '/api/session');
  forgetUnsaved();
  await loadSession();
}

function keep(told: Session): void {
  useCsrf(told.csrf);
  const chosen = told.user?.language;
  if (isLanguage(chosen)) language.value = chosen;
  session.value = told;
}
