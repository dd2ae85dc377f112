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
  const answer = await send(method, path, body, headers);
  const told: unknown = await answer.json().catch(() => null);
  if (answer.ok) return told as T;
  throw refused(answer.status, told);
}

/** One event of a stream (server-sent events). */
export interface Told {
  event: string;
  data: string;
}

/**
 * Ask the server, and take its answer event by event.
 *
 * @throws Refusal - The server refuses, or does not answer.
 */
export async function* stream(
  path: string,
  body: unknown,
  signal: AbortSignal,
): AsyncGenerator<Told> {
  const answer = await send('POST', path, body, { Accept: 'text/event-stream' }, signal);
  if (!answer.ok || !answer.body) {
    throw refused(answer.status, await answer.json().catch(() => null));
  }
  let rest = '';
  const decoder = new TextDecoder();
  for (const reader = answer.body.getReader(); ;) {
    const { done, value } = await reader.read();
    rest += decoder.decode(value, { stream: !done }).replaceAll('\r\n', '\n');
    const blocks = rest.split('\n\n');
    rest = blocks.pop() ?? '';
    yield* blocks.map(eventOf).filter((one) => one.data !== '');
    if (done) return;
  }
}

/** Lines that begin with a colon are comments: the server says that it is there. */
function eventOf(block: string): Told {
  const fields = block.split('\n').map((line) => /^(event|data): ?(.*)$/.exec(line));
  const all = (name: string) => fields.filter((one) => one?.[1] === name).map((one) => one?.[2]);
  return { event: all('event').at(-1) ?? 'message', data: all('data').join('\n') };
}

async function send(
  method: string,
  path: string,
  body: unknown,
  headers: Record<string, string>,
  signal?: AbortSignal,
): Promise<Response> {
  const init: RequestInit = {
    method,
    headers: {
      Accept: 'application/json',
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...(method === 'GET' ? {} : { 'X-CSRF-Token': csrf }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(signal ? { signal } : {}),
  };
  return fetch(path, init).catch((error: unknown) => {
    throw new Refusal(0, 'unreachable', String(error));
  });
}

function refused(status: number, told: unknown): Refusal {
  const refusal = refusalOf(status, told);
  if (refusal.code === 'no-session') whenExpired();
  return refusal;
}

function refusalOf(status: number, told: unknown): Refusal {
  const { error, code } = (told ?? {}) as { error?: string; code?: string };
  return new Refusal(status, code ?? 'unknown', error ?? `HTTP ${status}`, told);
}
