import { describe, expect, it } from 'vitest';
import { ranges } from './ranges';

describe('numbers as a person writes them', () => {
  it.each([
    [[], ''],
    [[58], '58'],
    [[58, 59, 57, 60, 56], '56–60'],
    [[9, 3, 8, 7, 3], '3, 7–9'],
    [[1, 2], '1–2'],
  ])('%j is %s', (numbers, said) => {
    expect(ranges(numbers)).toBe(said);
  });
});
