/** What a reader looks at of the list; it stands in the address, so that it can be kept and sent. */
import type { Filter, State, Urgency } from '../../api/worklist';

export const VIEWS = {
  'to-read': ['draft', 'partial', 'later'],
  'on-the-way': ['receiving', 'waiting', 'drafting'],
  'without-draft': ['abstained', 'failed'],
  done: ['accepted', 'rejected', 'retracted'],
  all: [],
} as const satisfies Record<string, readonly State[]>;

export type View = keyof typeof VIEWS;

export const URGENCIES: readonly Urgency[] = ['stat', 'urgent', 'routine'];

export interface Chosen {
  view: View;
  urgency: Urgency | '';
  model: string;
  search: string;
}

export function chosenOf(query: string): Chosen {
  const asked = new URLSearchParams(query);
  const view = asked.get('view') ?? '';
  return {
    view: isView(view) ? view : 'to-read',
    urgency: URGENCIES.find((one) => one === asked.get('urgency')) ?? '',
    model: asked.get('model') ?? '',
    search: asked.get('search') ?? '',
  };
}

export function queryOf(chosen: Chosen): string {
  const kept = Object.entries(chosen).filter(([, value]) => value !== '' && value !== 'to-read');
  return kept.length > 0 ? `?${new URLSearchParams(kept).toString()}` : '';
}

export function filterOf({ view, ...others }: Chosen): Filter {
  return { states: VIEWS[view], ...others };
}

/** Studies of a view. */
export function countOf(view: View, counts: Partial<Record<State, number>>): number {
  const states: readonly State[] = VIEWS[view];
  return Object.entries(counts)
    .filter(([state]) => states.length === 0 || states.some((one) => one === state))
    .reduce((sum, [, count]) => sum + count, 0);
}

function isView(text: string): text is View {
  return Object.hasOwn(VIEWS, text);
}
