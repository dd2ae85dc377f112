import type { JSX } from 'preact';
import { type Draft, type Study, modelOf } from '../../api/studies';
import type { Editing } from '../../draft/editing';
import { momentOf } from '../../i18n/dates';
import { eventOf } from '../../i18n/events';
import { isKey, t } from '../../i18n/i18n';

interface Given {
  study: Study;
  draft: Draft | null;
  editing: Editing | null;
}

/** What happened to the study: its way, where the draft went, and who did what. */
export function Record({ study, draft, editing }: Given): JSX.Element {
  return (
    <div class="panel">
      {draft && <Provenance draft={draft} />}
      {draft && draft.deliveries.length > 0 && <Deliveries draft={draft} />}
      {editing && (
        <Steps title={t('record.review')} steps={editing.review.value.history.map(told)} />
      )}
      <Steps title={t('record.timeline')} steps={study.timeline} />
    </div>
  );
}

function Provenance({ draft }: { draft: Draft }): JSX.Element {
  return (
    <section>
      <h2>{t('record.draft')}</h2>
      <p>
        {t('record.model', { name: modelOf(draft), revision: draft.revision })}
        {draft.model.digest && <small class="quiet digest">{draft.model.digest}</small>}
      </p>
    </section>
  );
}

function Deliveries({ draft }: { draft: Draft }): JSX.Element {
  return (
    <section>
      <h2>{t('record.deliveries')}</h2>
      <ul>
        {draft.deliveries.map((one) => (
          <li key={one.destination}>
            {one.destination}: {delivered(one.state)}{' '}
            <span class="quiet">{momentOf(one.proved_at)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Steps({ title, steps }: { title: string; steps: Study['timeline'] }): JSX.Element | null {
  if (steps.length === 0) return null;
  return (
    <section>
      <h2>{title}</h2>
      <ol class="steps">
        {steps.map((one, index) => (
          <li key={index}>
            <time class="quiet">{momentOf(one.at)}</time> {one.kind && eventOf(one.kind)}{' '}
            {one.kind ? <small class="quiet">{one.text}</small> : one.text}
          </li>
        ))}
      </ol>
    </section>
  );
}

function told({ at, by, action }: { at: string; by: string; action: string }) {
  const key = `action.${action}`;
  return { at, text: `${by}: ${isKey(key) ? t(key) : action}` };
}

export function delivered(state: string): string {
  const key = `object.${state}`;
  return isKey(key) ? t(key) : state;
}
