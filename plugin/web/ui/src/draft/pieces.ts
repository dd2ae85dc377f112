/**
 * The text of a section, sentence by sentence, and what the draft knows of each.
 *
 * The text alone is kept and saved. Its sentences are found in it anew after each change: one that
 * a reader has touched no longer carries the model's confidence, but still leads to its slices.
 */
import type { Sentence } from '../api/studies';

export interface Piece {
  /** Of the sentence in the draft, or its place in the text. */
  key: string;
  text: string;
  start: number;
  end: number;
  /** Null for what a reader wrote. */
  sentence: Sentence | null;
  /** Whether a reader changed the sentence. */
  edited: boolean;
}

/** Words that two sentences share, from which on one is an edited form of the other. */
const ALIKE = 0.4;

interface Span {
  start: number;
  end: number;
}

interface Match extends Span {
  index: number;
}

/** The sentences of a text, in order. */
export function piecesOf(text: string, sentences: readonly Sentence[]): Piece[] {
  const matches = matched(text, sentences);
  const ends = [...matches, { start: text.length, end: text.length, index: sentences.length }];
  const pieces: Piece[] = [];
  let [from, next] = [0, 0];
  for (const match of ends) {
    const missing = sentences.slice(next, match.index);
    pieces.push(...between(text, { start: from, end: match.start }, missing));
    const sentence = sentences[match.index];
    if (sentence) pieces.push({ ...cut(text, match), key: sentence.id, sentence, edited: false });
    [from, next] = [match.end, match.index + 1];
  }
  return pieces;
}

/** Sentences that were withheld, and that no reader took into the text. */
export function withheldOf(pieces: readonly Piece[], sentences: readonly Sentence[]): Sentence[] {
  return sentences.filter((one) => one.withheld && !pieces.some((piece) => piece.key === one.id));
}

/** The text with another sentence in a piece's place; without it where nothing is left. */
export function replaced(text: string, piece: Span, by: string): string {
  const [before, after] = [text.slice(0, piece.start), text.slice(piece.end)];
  if (by.trim()) return before + by.trim() + after;
  return before.trimEnd() ? before.trimEnd() + after : after.trimStart();
}

/** The text with a sentence at its end. */
export function appended(text: string, sentence: string): string {
  const before = text.trimEnd();
  return before && sentence.trim() ? `${before} ${sentence.trim()}` : before + sentence.trim();
}

/** Where untouched sentences stand. One found behind its successor was deleted, and said again. */
function matched(text: string, sentences: readonly Sentence[]): Match[] {
  const found: Match[] = [];
  let from = 0;
  sentences.forEach((sentence, index) => {
    const start = sentence.text ? text.indexOf(sentence.text, from) : -1;
    const later = sentences.slice(index + 1).map((one) => text.indexOf(one.text, from));
    if (start < 0 || later.some((other) => other >= 0 && other < start)) return;
    found.push({ start, end: start + sentence.text.length, index });
    from = start + sentence.text.length;
  });
  return found;
}

/** What stands between two untouched sentences: edited ones, and new ones. */
function between(text: string, run: Span, missing: readonly Sentence[]): Piece[] {
  const left = missing.filter((one) => one.text);
  return spans(text, run).map((span) => {
    const piece = cut(text, span);
    const at = left.findIndex((one) => alike(one.text, piece.text) >= ALIKE);
    const [sentence = null] = at < 0 ? [] : left.splice(0, at + 1).slice(-1);
    return { ...piece, key: sentence?.id ?? `at-${span.start}`, sentence, edited: at >= 0 };
  });
}

function spans(text: string, { start, end }: Span): Span[] {
  const segmenter = new Intl.Segmenter(undefined, { granularity: 'sentence' });
  return [...segmenter.segment(text.slice(start, end))]
    .map(({ index, segment }) => {
      const first = start + index + (segment.length - segment.trimStart().length);
      return { start: first, end: first + segment.trim().length };
    })
    .filter((span) => span.end > span.start);
}

function cut(text: string, { start, end }: Span) {
  return { text: text.slice(start, end), start, end };
}

/** Share of common words, from 0 to 1 (Dice). */
function alike(one: string, other: string): number {
  const [first, second] = [wordsOf(one), wordsOf(other)];
  const common = [...first].filter((word) => second.has(word)).length;
  return (2 * common) / (first.size + second.size || 1);
}

function wordsOf(text: string): Set<string> {
  return new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []);
}
