import { afterEach, describe, expect, it, vi } from 'vitest';
import { Refusal, ask, stream } from './client';

const answers = (status: number, pieces: string[]) => {
  const body = new ReadableStream({
    start(controller) {
      for (const one of pieces) controller.enqueue(new TextEncoder().encode(one));
      controller.close();
    },
  });
  vi.stubGlobal('fetch', () => Promise.resolve(new Response(body, { status })));
};
const all = async () => {
  const told = [];
  for await (const one of stream('/api/x', {}, new AbortController().signal)) told.push(one);
  return told;
};

describe('a request', () => {
  afterEach(() => vi.unstubAllGlobals());

  it('is refused in one way, whatever stood in its way', async () => {
    answers(404, ['{"error": "no such study", "code": "no-study"}']);
    await expect(ask('GET', '/api/x')).rejects.toMatchObject({ status: 404, code: 'no-study' });
    answers(502, ['<html>']);
    await expect(ask('GET', '/api/x')).rejects.toMatchObject({ code: 'unknown' });
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('no network')));
    await expect(ask('GET', '/api/x')).rejects.toMatchObject({ code: 'unreachable' });
  });

  it('may be answered event by event, however the bytes are cut', async () => {
    answers(200, [': there\n\nevent: pie', 'ce\ndata: {"a":', ' 1}\n', '\nevent: answer\r\n']);
    expect(await all()).toEqual([{ event: 'piece', data: '{"a": 1}' }]);
    answers(200, ['event: answer\r\ndata: 1\r\ndata: 2\r\n\r\n']);
    expect(await all()).toEqual([{ event: 'answer', data: '1\n2' }]);
  });

  it('is refused before the first event like any other', async () => {
    answers(409, ['{"error": "no model", "code": "no-model"}']);
    await expect(all()).rejects.toThrow(Refusal);
  });
});
