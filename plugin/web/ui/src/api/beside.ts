/** What stands beside a study: earlier ones of the patient, and similar ones of others. */
import { ask } from './client';
import { pathOfStudy } from './studies';

interface Titled {
  study_instance_uid: string;
  date: string;
  description: string;
  modality: string;
}

export interface Prior extends Titled {
  source: string;
  report: string | null;
  state: string | null;
}

/** What the archive of the settings holds of the patient; its name is null where there is none. */
export interface Archived {
  archive: string | null;
  priors: Titled[];
  /** Studies with the patient's number that are somebody else's by name, birth date or issuer. */
  withheld: number;
}

export interface ArchivedReport {
  text: string;
  state: 'signed' | 'unsigned' | 'accepted' | 'draft';
  date: string;
}

/** One study: received here, or in an archive, or both. */
export interface Row extends Prior {
  archive: string | null;
}

export interface SimilarCase {
  study_instance_uid: string;
  /** Cosine of the two images as the model sees them. */
  similarity: number;
  date: string | null;
  description: string | null;
  report: string | null;
}

export const loadPriors = (study: string): Promise<{ priors: Prior[] }> =>
  ask('GET', pathOfStudy(study, 'priors'));

/** Asks the archive, which may take its time. */
export const loadArchived = (study: string): Promise<Archived> =>
  ask('GET', pathOfStudy(study, 'archived'));

export const loadArchivedReports = (
  study: string,
  prior: string,
): Promise<{ reports: ArchivedReport[] }> => ask('GET', pathOfStudy(study, 'archived', prior));

/** One row a study, the latest first. */
export function merged(received: Prior[], archived?: Archived): Row[] {
  const { archive = null, priors: held = [] } = archived ?? {};
  const here = new Set(received.map((one) => one.study_instance_uid));
  const there = new Set(held.map((one) => one.study_instance_uid));
  const rows = received.map((one) => ({
    ...one,
    archive: there.has(one.study_instance_uid) ? archive : null,
  }));
  const others = held
    .filter((one) => !here.has(one.study_instance_uid))
    .map((one) => ({ ...one, source: archive ?? '', report: null, state: null, archive }));
  return [...rows, ...others].sort((one, other) => other.date.localeCompare(one.date));
}

export const loadSimilar = (study: string): Promise<{ cases: SimilarCase[]; of: number }> =>
  ask('GET', pathOfStudy(study, 'similar'));
