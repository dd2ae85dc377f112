/** Requests to the server: JSON in and out, one kind of error, and the token against forgery. */

/** What the server refuses, or that it cannot be reached (status 0, code "unreachable"). */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    text: string,
    /** The whole answer; a conflict (412) carries what stands there now. */
    readonly body: unknown = null,
  ) {
    super(text);
    this.name = 'Refusal';
  }
}

let csrf = '';
let whenExpired = (): void => undefined;

/** Every later request that changes something carries this token. */
export function useCsrf(token: string | null): void {
  csrf = token ?? '';
}

/** Call this where the server no longer knows the session. */
export function onExpired(action: () => void): void {
  whenExpired = action;
}

/**
 * Ask the server.
 *
 * @param method - Of HTTP.
 * @param path - Begins with "/api/".
 * @param body - Sent as JSON.
 * @param headers - Further ones, such as If-Match.
 * @throws Refusal - The server refuses, or does not answer.
 */
export async function ask<T>(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<T> {
  const answer = await fetch(path, {
    method,
    headers: {
      Accept: 'application/json',
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...(method === 'GET' ? {} : { 'X-CSRF-Token': csrf }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  }).catch((error: unknown) => {
    throw new Refusal(0, 'unreachable', String(error));
  });
  const told: unknown = await answer.json().catch(() => null);
  if (answer.ok) return told as T;
  const refusal = refusalOf(answer.status, told);
  if (refusal.code === 'no-session') whenExpired();
  throw refusal;
}

function refusalOf(status: number, told: unknown): Refusal {
  const { error, code } = (told ?? {}) as { error?: string; code?: string };
  return new Refusal(status, code ?? 'unknown', error ?? `HTTP ${status}`, told);
}
