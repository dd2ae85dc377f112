/**
 * An edited report is saved without being asked, and never over somebody else's.
 *
 * Each change goes into the browser at once, so that it survives a closed window, and to the
 * server soon after. The server takes it only where nobody saved in between (If-Match); else both
 * texts are kept until the reader has chosen.
 */
import { Refusal, ask } from '../api/client';

export interface Section {
  heading: string;
  title: string;
  text: string;
}

/** What a reader made of a draft so far. */
export interface Review {
  version: number;
  /** Revision of the draft that the text was begun with. */
  draft_revision: number;
  sections: Section[];
  state: 'open' | 'later' | 'accepted' | 'rejected';
  saved_by: string | null;
  saved_at: string | null;
  reason: string | null;
  history: { at: string; by: string; action: string }[];
  /** The report object that acceptance wrote. */
  object: { sop_instance_uid: string; state: string } | null;
}

/** What this browser holds that the server has not taken yet. */
export interface Unsaved {
  /** Of the review that the reader changed. */
  version: number;
  sections: Section[];
}

export type Outcome =
  | { kind: 'current'; review: Review }
  | { kind: 'conflict'; theirs: Review; mine: Section[] }
  | { kind: 'waiting'; why: Refusal };

const UNSAVED = 'ctscribe.unsaved.';

/** Take all unsaved texts out of this browser: its reader leaves. */
export function forgetUnsaved(storage: Storage = localStorage): void {
  const keys = Array.from({ length: storage.length }, (_, index) => storage.key(index));
  for (const key of keys) if (key?.startsWith(UNSAVED)) storage.removeItem(key);
}

/** One reader's unsaved text of one study; another reader of this browser does not see it. */
export class Shelf {
  private readonly key: string;

  constructor(
    reader: string,
    study: string,
    private readonly storage: Storage = localStorage,
  ) {
    this.key = `${UNSAVED}${JSON.stringify([reader, study])}`;
  }

  /** False where the browser keeps nothing (full, or forbidden): the page says so. */
  put(unsaved: Unsaved): boolean {
    try {
      this.storage.setItem(this.key, JSON.stringify(unsaved));
      return true;
    } catch {
      return false;
    }
  }

  get(): Unsaved | null {
    try {
      return JSON.parse(this.storage.getItem(this.key) ?? 'null') as Unsaved | null;
    } catch {
      return null;
    }
  }

  clear(): void {
    this.storage.removeItem(this.key);
  }
}

/** What to show of a study that is opened again: the server's text, or a choice. */
export function reopened(review: Review, unsaved: Unsaved | null): Outcome {
  if (!unsaved || sameText(review.sections, unsaved.sections)) return { kind: 'current', review };
  if (unsaved.version === review.version) {
    return { kind: 'current', review: { ...review, sections: unsaved.sections } };
  }
  return { kind: 'conflict', theirs: review, mine: unsaved.sections };
}

/**
 * Give the text to the server; what it does not take stays on the shelf.
 *
 * @param version - Of the review that was changed.
 */
export async function save(
  study: string,
  version: number,
  sections: Section[],
  shelf: Shelf,
): Promise<Outcome> {
  const path = `/api/studies/${encodeURIComponent(study)}/review`;
  try {
    const review = await ask<Review>('PUT', path, { sections }, { 'If-Match': `"${version}"` });
    return taken(review, sections, shelf);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.status !== 412) return { kind: 'waiting', why: error };
    const theirs = error.body as Review;
    // The answer to an earlier try was lost on its way: what stands there is this very text
    if (sameText(theirs.sections, sections)) return taken(theirs, sections, shelf);
    return { kind: 'conflict', theirs, mine: sections };
  }
}

/** The server has these sections; what was typed meanwhile stays unsaved, upon the new version. */
function taken(review: Review, sections: Section[], shelf: Shelf): Outcome {
  const later = shelf.get();
  if (!later || sameText(later.sections, sections)) shelf.clear();
  else shelf.put({ version: review.version, sections: later.sections });
  return { kind: 'current', review };
}

export function sameText(one: readonly Section[], other: readonly Section[]): boolean {
  const texts = (all: readonly Section[]): string =>
    JSON.stringify(all.map(({ heading, text }) => [heading, text]));
  return texts(one) === texts(other);
}
