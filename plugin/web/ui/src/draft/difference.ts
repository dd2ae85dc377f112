/** What a reader changed of the draft, word by word. */
import { diffWordsWithSpace } from 'diff';

export interface Piece {
  kind: 'same' | 'added' | 'removed';
  text: string;
}

export function difference(draft: string, final: string): Piece[] {
  return diffWordsWithSpace(draft, final).map(({ added, removed, value }) => ({
    kind: added ? 'added' : removed ? 'removed' : 'same',
    text: value,
  }));
}

/** Whether a reader changed anything but the space between words. */
export function isEdited(draft: string, final: string): boolean {
  return inOneLine(draft) !== inOneLine(final);
}

/** The words alone: a draft comes sentence by sentence, without its lines. */
export function inOneLine(text: string): string {
  return text.trim().split(/\s+/).join(' ');
}
