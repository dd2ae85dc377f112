import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Refusal } from '../../api/client';
import { type Asked, type Chance, askModel, loadQuestions } from '../../api/questions';
import { momentOf } from '../../i18n/dates';
import { t } from '../../i18n/i18n';
import { told } from '../../i18n/refusals';
import { useLoaded } from './loaded';

/** A question on its way, and what was answered so far. */
interface Running {
  question: string;
  text: string;
}

/** Questions about the study. What the model says here never enters the report by itself. */
export function Ask({ study }: { study: string }): JSX.Element {
  const past = useLoaded(() => loadQuestions(study), [study]);
  const [running, setRunning] = useState<Running | null>(null);
  const [problem, setProblem] = useState('');
  const ending = useRef(new AbortController());
  useEffect(() => () => ending.current.abort(), []);
  const send = async (question: string, choices: string[]): Promise<void> => {
    setProblem('');
    setRunning({ question, text: '' });
    const piece = (text: string): void => setRunning({ question, text });
    // What the model itself could not answer stands with the question
    await askModel(study, question, choices, piece, ending.current.signal).catch(
      (error: unknown) => error instanceof Refusal && setProblem(told(error)),
    );
    setRunning(null);
    past.again();
  };
  return (
    <div class="panel">
      <p class="warning">{t('ask.about')}</p>
      <Form busy={running !== null} onAsk={(question, choices) => void send(question, choices)} />
      <p class="problem" role="alert">
        {problem || (past.problem && told(past.problem))}
      </p>
      <ol class="talk" aria-live="polite">
        {running && (
          <li>
            <p class="question">{running.question}</p>
            <p class="answer">{running.text || t('ask.thinking')}</p>
          </li>
        )}
        {past.told?.questions.toReversed().map((one) => (
          <Past key={one.id} asked={one} />
        ))}
      </ol>
    </div>
  );
}

function Past({ asked }: { asked: Asked }): JSX.Element {
  return (
    <li>
      <p class="question">{asked.question}</p>
      <p class={asked.error ? 'poor' : 'answer'}>
        {asked.error ?? asked.text ?? t('ask.thinking')}
      </p>
      {asked.probabilities && <Chances chances={asked.probabilities} />}
      <p class="quiet">{[asked.asked_by, momentOf(asked.asked_at)].filter(Boolean).join(' · ')}</p>
    </li>
  );
}

function Chances({ chances }: { chances: readonly Chance[] }): JSX.Element {
  return (
    <ul class="chances">
      {chances.map(({ choice, probability }) => (
        <li key={choice}>
          <span>{choice}</span>
          <meter min={0} max={1} value={probability} aria-label={choice} />
          <span>{Math.round(100 * probability)} %</span>
        </li>
      ))}
    </ul>
  );
}

interface FormGiven {
  busy: boolean;
  onAsk: (question: string, choices: string[]) => void;
}

function Form({ busy, onAsk }: FormGiven): JSX.Element {
  const [question, setQuestion] = useState('');
  const [choices, setChoices] = useState('');
  const send = (event: SubmitEvent): void => {
    event.preventDefault();
    onAsk(question.trim(), choicesOf(choices));
    setQuestion('');
  };
  return (
    <form class="fields" onSubmit={send}>
      <label>
        {t('ask.question')}
        <input
          value={question}
          required
          maxLength={500}
          onInput={(event) => setQuestion(event.currentTarget.value)}
        />
      </label>
      <label>
        {t('ask.choices')}
        <input
          value={choices}
          placeholder={t('ask.choices-example')}
          onInput={(event) => setChoices(event.currentTarget.value)}
        />
      </label>
      <div class="actions">
        <button class="main" disabled={busy}>
          {t('ask.send')}
        </button>
      </div>
    </form>
  );
}

export function choicesOf(text: string): string[] {
  return [...new Set(text.split(',').map((one) => one.trim()))].filter(Boolean);
}
