/** Who may come in, as administrators see and change it. */
import { ask } from './client';
import type { Role } from './session';

export const ROLES: readonly Role[] = ['reader', 'radiologist', 'administrator'];
export const SCOPES = ['dicomweb-read', 'dicomweb-write', 'reading', 'administration'] as const;
export type Scope = (typeof SCOPES)[number];

export interface Person {
  name: string;
  display_name: string;
  roles: Role[];
  locked_until: string | null;
  /** Where the person signs in; null for a password here. */
  directory: string | null;
}

export interface NewPerson {
  name: string;
  display_name: string;
  roles: Role[];
  password: string;
}

export interface Token {
  name: string;
  scopes: Scope[];
  made_by: string;
  ends_at: string;
  used_at: string | null;
}

const USERS = '/api/admin/users';
const TOKENS = '/api/admin/tokens';
const of = (root: string, name: string): string => `${root}/${encodeURIComponent(name)}`;

export async function addPerson(person: NewPerson): Promise<void> {
  await ask('POST', USERS, person);
}

export async function setRoles(name: string, roles: Role[]): Promise<void> {
  await ask('PUT', `${of(USERS, name)}/roles`, { roles });
}

export async function setPassword(name: string, password: string): Promise<void> {
  await ask('PUT', `${of(USERS, name)}/password`, { password });
}

export async function removePerson(name: string): Promise<void> {
  await ask('DELETE', of(USERS, name));
}

/** Make a token; nobody is shown it again. */
export async function makeToken(name: string, scopes: Scope[], days: number): Promise<string> {
  const made = await ask<{ token: string }>('POST', TOKENS, { name, scopes, days });
  return made.token;
}

export async function removeToken(name: string): Promise<void> {
  await ask('DELETE', of(TOKENS, name));
}
