import type { ComponentChildren, JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Draft } from '../../api/studies';
import { Dialog } from '../../components/dialog';
import { useShortcuts } from '../../components/keys';
import { isEdited } from '../../draft/difference';
import type { Decision, Editing } from '../../draft/editing';
import { momentOf } from '../../i18n/dates';
import { isKey, t } from '../../i18n/i18n';
import { told } from '../../i18n/refusals';
import { go, pathOf } from '../../router';
import { opened, queue } from '../worklist/list';
import { draftTextOf } from './changes';

interface Given {
  editing: Editing;
  draft: Draft;
  mayDecide: boolean;
}

type Asked = Exclude<Decision, 'reopen'>;

/** Accept, reject or put off; and what came of it. */
export function Decide({ editing, draft, mayDecide }: Given): JSX.Element {
  const [asked, setAsked] = useState<Asked | null>(null);
  const { state } = editing.review.value;
  const decided = state === 'accepted' || state === 'rejected';
  const question = (decision: Asked) => (): void => {
    if (mayDecide && !decided) setAsked(decision);
  };
  useShortcuts([
    { keys: ['a'], text: 'decide.accept', action: question('accept') },
    { keys: ['x'], text: 'decide.reject', action: question('reject') },
    { keys: ['l'], text: 'decide.later', action: question('later') },
    { keys: ['n'], text: 'decide.next', action: () => goNext(editing.study) },
    { keys: ['u'], text: 'decide.list', action: () => go('/') },
  ]);
  return (
    <footer class="decide">
      <Standing editing={editing} />
      <span class="grow" />
      {mayDecide && !decided && <Buttons onAsk={(decision) => setAsked(decision)} />}
      {mayDecide && decided && (
        <button onClick={() => void editing.decide('reopen')}>{t('decide.reopen')}</button>
      )}
      {!mayDecide && <span class="quiet">{t('decide.only-radiologists')}</span>}
      {(decided || state === 'later') && <Next study={editing.study} />}
      {asked && (
        <Question asked={asked} editing={editing} draft={draft} onClose={() => setAsked(null)} />
      )}
    </footer>
  );
}

function Buttons({ onAsk }: { onAsk: (decision: Asked) => void }): JSX.Element {
  return (
    <>
      <button onClick={() => onAsk('later')}>
        {t('decide.later')} <kbd>l</kbd>
      </button>
      <button class="danger" onClick={() => onAsk('reject')}>
        {t('decide.reject')} <kbd>x</kbd>
      </button>
      <button class="main" onClick={() => onAsk('accept')}>
        {t('decide.accept')} <kbd>a</kbd>
      </button>
    </>
  );
}

function Next({ study }: { study: string }): JSX.Element | null {
  if (!nextOf(study)) return null;
  return (
    <button class="main" onClick={() => goNext(study)}>
      {t('decide.next')} <kbd>n</kbd>
    </button>
  );
}

/** What was decided, by whom, and what became of the report object. */
function Standing({ editing }: { editing: Editing }): JSX.Element {
  const { state, reason, object, history } = editing.review.value;
  const last = history.at(-1);
  const problem = editing.problem.value;
  if (problem)
    return (
      <span class="poor" role="alert">
        {told(problem)}
      </span>
    );
  if (state === 'open') return <Saved editing={editing} />;
  const delivered = `object.${object?.state ?? ''}`;
  return (
    <span role="status" class={state === 'accepted' ? 'good' : 'fair'}>
      {t(`standing.${state}`, { name: last?.by ?? '', at: momentOf(last?.at ?? null) })}
      {reason && ` ${t('standing.reason', { reason })}`}
      {object && ` ${isKey(delivered) ? t(delivered) : object.state}`}
    </span>
  );
}

/** Whether the text is safe, and where. */
function Saved({ editing }: { editing: Editing }): JSX.Element {
  const { saved_at, saved_by } = editing.review.value;
  const saving = editing.saving.value;
  const poor = saving === 'waiting' || saving === 'refused' || !editing.kept.value;
  return (
    <span role="status" class={poor ? 'poor' : 'quiet'} title={savedBy(saved_at, saved_by)}>
      {t(editing.kept.value ? `saving.${saving}` : 'saving.nowhere')}
    </span>
  );
}

function savedBy(at: string | null, by: string | null): string {
  return at && by ? t('saving.by', { name: by, at: momentOf(at) }) : '';
}

interface QuestionGiven {
  asked: Asked;
  editing: Editing;
  draft: Draft;
  onClose: () => void;
}

function Question({ asked, editing, draft, onClose }: QuestionGiven): JSX.Element {
  const [busy, setBusy] = useState(false);
  const send = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    setBusy(true);
    await editing.decide(asked, saidOf(form));
    onClose();
  };
  return (
    <Dialog title={t(`decide.${asked}.title`)} onClose={onClose}>
      <form onSubmit={(event) => void send(event)}>
        <Fields asked={asked} edited={isChanged(editing, draft)} />
        <div class="actions">
          <button type="button" onClick={onClose}>
            {t('dialog.cancel')}
          </button>
          <button
            class={asked === 'reject' ? 'danger' : 'main'}
            disabled={busy}
            data-first={asked === 'accept'}
          >
            {t(`decide.${asked}`)}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function Fields({ asked, edited }: { asked: Asked; edited: boolean }): ComponentChildren {
  if (asked === 'accept')
    return <p>{t(edited ? 'decide.accept.edited' : 'decide.accept.as-is')}</p>;
  if (asked === 'later') {
    return (
      <label class="fields">
        {t('decide.until')}
        <input name="until" type="datetime-local" />
      </label>
    );
  }
  return (
    <label class="fields">
      {t('decide.reason')}
      <textarea name="reason" required rows={3} maxLength={1000} data-first />
    </label>
  );
}

/** The fields that were filled in; a local time becomes one that every place reads alike. */
function saidOf(form: FormData): Record<string, string> {
  const said: Record<string, string> = {};
  for (const [name, value] of form) {
    if (typeof value !== 'string' || !value.trim()) continue;
    said[name] = name === 'until' ? new Date(value).toISOString() : value.trim();
  }
  return said;
}

function isChanged(editing: Editing, draft: Draft): boolean {
  return editing.sections.value.some((one) => isEdited(draftTextOf(draft, one), one.text));
}

function nextOf(study: string): string | undefined {
  return queue.value[queue.value.indexOf(study) + 1];
}

function goNext(study: string): void {
  const next = nextOf(study);
  if (next) opened.value = next;
  go(next ? pathOf({ page: 'study', study: next }) : '/');
}
