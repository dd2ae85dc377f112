import { describe, expect, it } from 'vitest';
import { difference, isEdited } from './difference';

describe('the difference of draft and final text', () => {
  it('names the words that were taken out and put in', () => {
    expect(difference('No effusion.', 'Small effusion.')).toEqual([
      { kind: 'removed', text: 'No' },
      { kind: 'added', text: 'Small' },
      { kind: 'same', text: ' effusion.' },
    ]);
  });

  it.each([
    ['', 'New text.'],
    ['Old text.', ''],
    ['Kein Erguss.\nHerz normal.', 'Kleiner Erguss.\n\nHerz vergrößert.'],
  ])('gives both texts back: %j, %j', (draft, final) => {
    const without = (kind: string): string =>
      difference(draft, final)
        .filter((one) => one.kind !== kind)
        .map((one) => one.text)
        .join('');
    expect(without('added')).toBe(draft);
    expect(without('removed')).toBe(final);
  });

  it('is none where only space differs', () => {
    expect(isEdited('Normal. No mass.', ' Normal.\nNo mass.\n')).toBe(false);
    expect(isEdited('Normal.', 'Abnormal.')).toBe(true);
  });
});
