/** Who is signed in. */
import { signal } from '@preact/signals';
import { ask, onExpired, useCsrf } from './client';

export type Role = 'reader' | 'radiologist' | 'administrator';

export interface User {
  name: string;
  display_name: string;
  roles: Role[];
}

export interface Session {
  user: User | null;
  csrf: string | null;
  version: string;
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

export async function signOut(): Promise<void> {
  await ask('DELETE', '/api/session');
  await loadSession();
}

function keep(told: Session): void {
  useCsrf(told.csrf);
  session.value = told;
}
