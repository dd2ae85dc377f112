import { describe, expect, it } from 'vitest';
import { PAUSE_MS, begun, redone, typed, undone } from './history';

describe('the steps of a text', () => {
  const written = typed(typed(begun(''), 'a', 0), 'ab', 100);

  it('are words rather than letters', () => {
    expect(undone(written).present).toBe('');
    const later = typed(written, 'ab c', 100 + PAUSE_MS);
    expect(undone(later).present).toBe('ab');
  });

  it('keep a template whole', () => {
    const filled = typed(written, 'ab template', 150, true);
    const more = typed(filled, 'ab template!', 160);
    expect(undone(more).present).toBe('ab template');
    expect(undone(undone(more)).present).toBe('ab');
  });

  it('are done again until something else is typed', () => {
    const back = undone(written);
    expect(redone(back).present).toBe('ab');
    expect(redone(typed(back, 'x', 5000)).present).toBe('x');
  });

  it('end at both ends', () => {
    const first = begun('draft');
    expect(undone(first)).toBe(first);
    expect(redone(first)).toBe(first);
  });
});
