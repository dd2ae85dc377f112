/** Questions about a study; the answer comes piece by piece. */
import { ask, stream } from './client';
import { pathOfStudy } from './studies';

export interface Chance {
  choice: string;
  probability: number;
}

export interface Asked {
  id: number | string;
  question: string;
  choices: string[] | null;
  text: string | null;
  probabilities: Chance[] | null;
  asked_at: string | null;
  asked_by: string | null;
  error: string | null;
}

export interface Answer {
  id: number | string;
  text: string;
  probabilities: Chance[] | null;
}

export const loadQuestions = (study: string): Promise<{ questions: Asked[] }> =>
  ask('GET', pathOfStudy(study, 'questions'));

/**
 * Ask the model.
 *
 * @param choices - The only answers that are allowed; none for an open question.
 * @param onPiece - Called with the text so far.
 * @throws Refusal - The server or the model refuses.
 */
export async function askModel(
  study: string,
  question: string,
  choices: readonly string[],
  onPiece: (text: string) => void,
  signal: AbortSignal,
): Promise<Answer> {
  const body = choices.length > 0 ? { question, choices } : { question };
  let text = '';
  for await (const { event, data } of stream(pathOfStudy(study, 'questions'), body, signal)) {
    const told = JSON.parse(data) as { text?: string; error?: string };
    if (event === 'error') throw new Error(told.error);
    if (event === 'answer') return told as Answer;
    if (event === 'piece') onPiece((text += told.text ?? ''));
  }
  throw new Error('the answer broke off');
}
