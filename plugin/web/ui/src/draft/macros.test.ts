import { describe, expect, it } from 'vitest';
import { type Template, type Typed, expanded, nameBefore } from './macros';

const macro = (name: string, text: string, heading: string | null = null): Template => ({
  name,
  kind: 'macro',
  heading,
  text,
  language: 'en',
});
/** A text whose caret is written as "|". */
const at = (marked: string): Typed => ({
  text: marked.replace('|', ''),
  caret: marked.indexOf('|'),
});
const own = [macro('nl', 'No lymphadenopathy.'), macro('Größe', 'Größe normal.')];
const house = [
  macro('nl', 'Normal.'),
  macro('clear', 'Clear.'),
  macro('clear', 'Lungs are clear.', 'FINDINGS'),
];

describe('a macro', () => {
  it.each([
    ['.nl|', 'nl'],
    ['Lungs.\n.nl| Heart', 'nl'],
    ['x .Größe|', 'Größe'],
    ['The end.nl|', null],
    ['3.5|', null],
    ['.|', null],
    ['nl|', null],
    ['.nl |', null],
  ])('is named in %j: %j', (marked, name) => {
    expect(nameBefore(at(marked))).toBe(name);
  });

  it('is written out where it stands, and the caret goes behind it', () => {
    expect(expanded(at('A .clear| B'), 'IMPRESSION', own, house)).toEqual(at('A Clear.| B'));
  });

  it('of the reader goes before that of the house, whatever its case', () => {
    expect(expanded(at('.NL|'), 'FINDINGS', own, house)).toEqual(at('No lymphadenopathy.|'));
  });

  it('for the section goes before one for all', () => {
    expect(expanded(at('.clear|'), 'FINDINGS', own, house)).toEqual(at('Lungs are clear.|'));
  });

  it('that nobody wrote leaves the text alone', () => {
    expect(expanded(at('.none|'), 'FINDINGS', own, house)).toBeNull();
  });
});
