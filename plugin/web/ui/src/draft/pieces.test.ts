import { describe, expect, it } from 'vitest';
import type { Sentence } from '../api/studies';
import { appended, piecesOf, replaced, withheldOf } from './pieces';

const sentence = (id: string, text: string, withheld = false): Sentence => ({
  id,
  text,
  confidence: null,
  withheld: withheld ? { reason: 'low-confidence' } : null,
  evidence: [],
});
const lungs = sentence('1', 'The lungs are clear.');
const nodule = sentence('2', 'A nodule of 9 mm lies in the right upper lobe.');
const effusion = sentence('3', 'No effusion.');
const all = [lungs, nodule, effusion];
const whole = all.map((one) => one.text).join(' ');
const told = (text: string, sentences = all) =>
  piecesOf(text, sentences).map(({ key, text: shown, edited }) => [key, shown, edited]);

describe('the sentences of a text', () => {
  it('are those of the draft where nobody touched them', () => {
    expect(piecesOf(whole, all).map((one) => one.sentence)).toEqual(all);
  });

  it('keep their link to the draft where they were edited', () => {
    const text = whole.replace('9 mm', '12 mm');
    expect(told(text)[1]).toEqual(['2', nodule.text.replace('9', '12'), true]);
  });

  it('are a reader’s own where the draft has none like it', () => {
    expect(told(`${whole} Prior median sternotomy.`).at(-1)).toEqual([
      `at-${whole.length + 1}`,
      'Prior median sternotomy.',
      false,
    ]);
  });

  it('may be missing, said twice, in another order, or all gone', () => {
    expect(told(`${lungs.text} ${effusion.text}`).map(([key]) => key)).toEqual(['1', '3']);
    expect(told('')).toEqual([]);
    expect(told(`${effusion.text} ${lungs.text}`).map(([, text]) => text)).toEqual([
      effusion.text,
      lungs.text,
    ]);
    const again = [lungs, effusion, nodule, sentence('4', effusion.text)];
    const without = `${lungs.text} ${nodule.text} ${effusion.text}`;
    expect(told(without, again).map(([key]) => key)).toEqual(['1', '2', '4']);
  });

  it('cover the text, whatever it is', () => {
    for (const text of [whole, `\n\n${whole}\n`, `x ${whole} y. z`, 'A.\nB', '   ']) {
      for (const piece of piecesOf(text, all)) {
        expect(text.slice(piece.start, piece.end)).toBe(piece.text);
        expect(piece.text.trim()).toBe(piece.text);
      }
      const bare = (one: string) => one.replace(/\s/g, '');
      expect(
        bare(
          told(text)
            .map((one) => one[1])
            .join(''),
        ),
      ).toBe(bare(text));
    }
  });

  it('tell which withheld ones a reader took', () => {
    const doubtful = sentence('9', 'The gallbladder was removed.', true);
    const known = [...all, doubtful];
    expect(withheldOf(piecesOf(whole, known), known)).toEqual([doubtful]);
    expect(withheldOf(piecesOf(appended(whole, doubtful.text), known), known)).toEqual([]);
  });
});

describe('a sentence', () => {
  const [first, second] = piecesOf(whole, all);
  it('is replaced where it stands', () => {
    expect(second && replaced(whole, second, ' Nothing. ')).toBe(
      'The lungs are clear. Nothing. No effusion.',
    );
  });

  it('goes with the space beside it', () => {
    expect(second && replaced(whole, second, '')).toBe('The lungs are clear. No effusion.');
    expect(first && replaced(whole, first, ' ')).toBe(`${nodule.text} ${effusion.text}`);
  });

  it('is put at the end', () => {
    expect(appended('One. ', ' Two.')).toBe('One. Two.');
    expect(appended('', 'Two.')).toBe('Two.');
    expect(appended('One.', ' ')).toBe('One.');
  });
});
