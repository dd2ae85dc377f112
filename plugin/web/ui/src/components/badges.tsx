import type { JSX } from 'preact';
import type { State, Urgency } from '../api/worklist';
import { t } from '../i18n/i18n';

/** How a study stands, as a word; the colour only says it again. */
export function StateBadge({ state }: { state: State }): JSX.Element {
  return <span class={`state ${state}`}>{t(`state.${state}`)}</span>;
}

export function UrgencyBadge({ urgency }: { urgency: Urgency }): JSX.Element {
  return <span class={`urgency ${urgency}`}>{t(`urgency.${urgency}`)}</span>;
}
