/** One reader's work on one report: steps, saving, and the decision. */
import { computed, signal } from '@preact/signals';
import { Refusal, ask } from '../api/client';
import {
  type Outcome,
  type Review,
  type Section,
  type Shelf,
  reopened,
  sameText,
  save,
} from './autosave';
import { begun, redone, typed, undone } from './history';

/** A pause in typing after which the text goes to the server, in milliseconds. */
export const SAVE_AFTER = 1500;

/** How soon a server that did not answer is asked again, in milliseconds. */
export const TRY_AGAIN = 5000;

export type Saving = 'saved' | 'unsaved' | 'saving' | 'waiting' | 'refused';
export type Decision = 'accept' | 'reject' | 'later' | 'reopen';

export interface Conflict {
  theirs: Review;
  mine: Section[];
}

export class Editing {
  /** What stands on the server, as far as is known here. */
  readonly review;
  readonly saving = signal<Saving>('saved');
  readonly conflict = signal<Conflict | null>(null);
  readonly problem = signal<Refusal | null>(null);
  /** Whether this browser could keep the unsaved text. */
  readonly kept = signal(true);
  readonly sections = computed(() => this.steps.value.present);
  readonly canUndo = computed(() => this.steps.value.past.length > 0);
  readonly canRedo = computed(() => this.steps.value.future.length > 0);
  private readonly steps;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private running: Promise<boolean> | null = null;

  constructor(
    readonly study: string,
    review: Review,
    private readonly shelf: Shelf,
  ) {
    this.review = signal(review);
    this.steps = signal(begun(review.sections));
    const outcome = reopened(review, shelf.get());
    if (outcome.kind === 'conflict') this.conflict.value = outcome;
    if (outcome.kind !== 'current') return;
    if (outcome.review === review) shelf.clear();
    else this.change(outcome.review.sections, true);
  }

  /** Take a changed text; `whole` makes it a step of its own. */
  change(sections: Section[], whole = false): void {
    this.steps.value = typed(this.steps.value, sections, Date.now(), whole);
    this.unsaved();
  }

  undo(): void {
    this.steps.value = undone(this.steps.value);
    this.unsaved();
  }

  redo(): void {
    this.steps.value = redone(this.steps.value);
    this.unsaved();
  }

  /** Save now what is not saved; true once all is. */
  async flush(): Promise<boolean> {
    clearTimeout(this.timer);
    while (this.isUnsaved() && !this.conflict.value) {
      this.running ??= this.saveOnce().finally(() => (this.running = null));
      if (!(await this.running)) return false;
    }
    return !this.conflict.value;
  }

  /** Accept, reject, put off or reopen what is saved; true where the server did. */
  async decide(action: Decision, more: Record<string, string> = {}): Promise<boolean> {
    if (action !== 'reopen' && !(await this.flush())) return false;
    const path = `/api/studies/${encodeURIComponent(this.study)}/review/${action}`;
    const body = { version: this.review.value.version, ...more };
    try {
      this.adopt(await ask<Review>('POST', path, body));
      this.problem.value = null;
      return true;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.status === 412) this.receive(error.body as Review);
      else this.problem.value = error;
      return false;
    }
  }

  /** Go on with a text that was chosen between two, upon what stands on the server. */
  resolve(sections: Section[]): void {
    const { conflict } = this;
    if (!conflict.value) return;
    this.review.value = conflict.value.theirs;
    conflict.value = null;
    this.change(sections, true);
  }

  /** Take what the server has now; a text of one's own is never replaced by it. */
  receive(review: Review): void {
    // Its own answer is still on its way, or both texts are already shown
    if (this.running || this.conflict.value) return;
    const { version, sections } = this.review.value;
    // Asked for before the last save, and answered after it
    if (review.version < version) return;
    // The same text, whose report object may have got further
    if (review.version === version) this.review.value = { ...review, sections };
    // Saved by a page of the same reader that was closed before it heard so
    else if (sameText(review.sections, this.sections.value)) {
      clearTimeout(this.timer);
      this.shelf.clear();
      this.adopt(review);
    } else if (!this.isUnsaved()) this.adopt(review);
    else this.conflict.value = { theirs: review, mine: this.sections.value };
  }

  /** The page closes: what is unsaved stays on the shelf. */
  stop(): void {
    clearTimeout(this.timer);
  }

  private adopt(review: Review): void {
    const changed = !sameText(review.sections, this.sections.value);
    this.review.value = review;
    if (changed) this.steps.value = begun(review.sections);
    this.saving.value = 'saved';
  }

  private isUnsaved(): boolean {
    return !sameText(this.sections.value, this.review.value.sections);
  }

  private unsaved(): void {
    const { version } = this.review.value;
    if (!this.isUnsaved()) {
      this.shelf.clear();
      this.saving.value = 'saved';
      return;
    }
    this.kept.value = this.shelf.put({ version, sections: this.sections.value });
    this.saving.value = 'unsaved';
    this.later(SAVE_AFTER);
  }

  private later(delay: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.flush(), delay);
  }

  private async saveOnce(): Promise<boolean> {
    this.saving.value = 'saving';
    const { version } = this.review.value;
    const sent = this.sections.value;
    return this.take(await save(this.study, version, sent, this.shelf), sent);
  }

  private take(outcome: Outcome, sent: Section[]): boolean {
    if (outcome.kind === 'current') {
      const typedOn = this.sections.value !== sent;
      // The server may keep a text in its own form, such as without space at its ends
      this.review.value = typedOn ? outcome.review : { ...outcome.review, sections: sent };
      this.saving.value = this.isUnsaved() ? 'unsaved' : 'saved';
      this.problem.value = null;
      return true;
    }
    if (outcome.kind === 'waiting') this.wait(outcome.why);
    else [this.conflict.value, this.saving.value] = [outcome, 'unsaved'];
    return false;
  }

  private wait(why: Refusal): void {
    const mayPass = why.status === 0 || why.status >= 500;
    this.saving.value = mayPass ? 'waiting' : 'refused';
    this.problem.value = mayPass ? null : why;
    if (mayPass) this.later(TRY_AGAIN);
  }
}
