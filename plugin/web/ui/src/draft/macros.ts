/** Short names that become text: `.name` and Tab. */

export interface Template {
  name: string;
  kind: 'template' | 'macro';
  /** The section that it is meant for; null for all. */
  heading: string | null;
  text: string;
  language: string;
}

/** A text and where its caret stands. */
export interface Typed {
  text: string;
  caret: number;
}

/** The name that is being typed before the caret, without its full stop; null where there is none. */
export function nameBefore({ text, caret }: Typed): string | null {
  // A full stop ends a sentence where a letter stands before it
  const found = /(?:^|\s)\.([\p{L}\p{N}_-]+)$/u.exec(text.slice(0, caret));
  return found?.[1] ?? null;
}

/**
 * The text with the macro before the caret written out; null where there is none of that name.
 *
 * A reader's own macro goes before one of the house, and one for this section before one for all.
 */
export function expanded(
  typed: Typed,
  heading: string,
  own: readonly Template[],
  house: readonly Template[],
): Typed | null {
  const name = nameBefore(typed);
  if (name === null) return null;
  const macro = named(own, name, heading) ?? named(house, name, heading);
  if (!macro) return null;
  return inserted(typed, macro.text, name.length + 1);
}

/** Put a text at the caret, in place of the letters just before it. */
export function inserted({ text, caret }: Typed, piece: string, instead = 0): Typed {
  const start = caret - instead;
  return { text: text.slice(0, start) + piece + text.slice(caret), caret: start + piece.length };
}

function named(all: readonly Template[], name: string, heading: string): Template | undefined {
  const same = all.filter((one) => one.name.toLowerCase() === name.toLowerCase());
  return same.find((one) => one.heading === heading) ?? same.find((one) => one.heading === null);
}
