/** What stands beside a study: earlier ones of the patient, and similar ones of others. */
import { ask } from './client';
import { pathOfStudy } from './studies';

export interface Prior {
  study_instance_uid: string | null;
  date: string | null;
  description: string | null;
  modality: string | null;
  source: string;
  report: string | null;
  state: string | null;
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

export const loadSimilar = (study: string): Promise<{ cases: SimilarCase[]; of: number }> =>
  ask('GET', pathOfStudy(study, 'similar'));
