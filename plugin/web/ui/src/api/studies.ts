/** One study: its series, its draft, and what a reader makes of it. */
import { ask } from './client';
import type { Review } from '../draft/autosave';
import type { Row } from './worklist';

export interface Series {
  series_instance_uid: string;
  number: number | null;
  description: string | null;
  modality: string;
  images: number;
  drafted: boolean;
}

export interface Step {
  at: string;
  /** Of an event; what readers did has none. */
  kind?: string;
  text: string;
}

export interface Study extends Row {
  series: Series[];
  ohif: string | null;
  timeline: Step[];
}

/** A slice that a sentence leans on. */
export interface Evidence {
  series_instance_uid: string;
  sop_instance_uid: string;
  series_number: number | null;
  instance_number: number | null;
}

/** What the viewer is to show; a new object for each click. */
export interface Shown {
  /** Whose heat map is meant. */
  sentence: string;
  evidence: Evidence[];
}

/** What the viewer shows. */
export interface Slice {
  series_instance_uid: string;
  sop_instance_uid: string;
}

export type Level = 'high' | 'medium' | 'low';

export interface Sentence {
  id: string;
  text: string;
  confidence: { level: Level } | null;
  withheld: { reason: 'low-confidence' } | null;
  evidence: Evidence[];
}

/** The model as a reader knows it; not every one has a version. */
export function modelOf({ model: { name, version } }: Draft): string {
  return `${name} ${version}`.trim();
}

export interface DraftSection {
  heading: string;
  title: string;
  sentences: Sentence[];
}

export interface Draft {
  sop_instance_uid: string | null;
  revision: number;
  state: string;
  model: { name: string; version: string; digest: string | null; demonstration: boolean };
  notices: string[];
  sections: DraftSection[];
  /** The set that the confidence was calibrated on; empty where it is not, null where unknown. */
  calibrated_on: string | null;
  has_confidence: boolean;
  has_evidence: boolean;
  deliveries: { destination: string; state: string; proved_at: string | null }[];
}

export const pathOfStudy = (study: string, ...more: string[]): string =>
  ['/api/studies', ...[study, ...more].map(encodeURIComponent)].join('/');

export const loadStudy = (study: string): Promise<Study> => ask('GET', pathOfStudy(study));

export const loadDraft = (study: string): Promise<Draft> => ask('GET', pathOfStudy(study, 'draft'));

export const loadReview = (study: string): Promise<Review> =>
  ask('GET', pathOfStudy(study, 'review'));

export interface Reader {
  name: string;
  since: string;
}

/** Tell the others that this reader has the study open. */
export const tellPresence = (study: string): Promise<{ readers: Reader[] }> =>
  ask('POST', pathOfStudy(study, 'presence'));
