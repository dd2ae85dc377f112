/** The studies that stand in the list, and where each is on its way. */
import { ask } from './client';

export type Urgency = 'stat' | 'urgent' | 'routine';

export const STATES = [
  'receiving',
  'waiting',
  'drafting',
  'draft',
  'partial',
  'abstained',
  'failed',
  'later',
  'accepted',
  'rejected',
  'retracted',
] as const;
export type State = (typeof STATES)[number];

export interface Patient {
  name: string | null;
  id: string | null;
  birth_date: string | null;
  sex: string | null;
}

export interface Row {
  study_instance_uid: string;
  accession_number: string | null;
  patient: Patient;
  description: string | null;
  study_date: string | null;
  received_at: string;
  urgency: Urgency;
  state: State;
  model: string | null;
  revision: number | null;
  /** Display names of who has the study open. */
  readers: string[];
  reviewed_by: string | null;
  undelivered: number;
}

export interface Worklist {
  studies: Row[];
  counts: Partial<Record<State, number>>;
  next: string | null;
}

/** What a reader wants to see; an empty text or list asks for all. */
export interface Filter {
  states: readonly State[];
  urgency: Urgency | '';
  model: string;
  search: string;
}

/** Rows of one answer: what fills two large screens. */
const ROWS = 100;

export function loadWorklist(filter: Filter, after: string | null = null): Promise<Worklist> {
  const asked = new URLSearchParams({ limit: String(ROWS) });
  const wanted = { ...filter, states: filter.states.join(',') };
  for (const [name, value] of Object.entries({ ...namedAsAsked(wanted), after: after ?? '' })) {
    if (value) asked.set(name, value);
  }
  return ask<Worklist>('GET', `/api/worklist?${asked.toString()}`);
}

function namedAsAsked({ states, urgency, model, search }: Record<keyof Filter, string>) {
  return { state: states, urgency, model, search: search.trim() };
}
