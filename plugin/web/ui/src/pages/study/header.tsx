import type { JSX } from 'preact';
import type { Reader, Study } from '../../api/studies';
import { StateBadge, UrgencyBadge } from '../../components/badges';
import { dayOf, nameOf } from '../../i18n/dates';
import { t } from '../../i18n/i18n';
import { aboutPatient } from '../worklist/row';

/** Whose study this is, and who else looks at it. */
export function Header({ study, others }: { study: Study; others: Reader[] }): JSX.Element {
  return (
    <header class="about">
      <h1>{nameOf(study.patient.name) || t('patient.unnamed')}</h1>
      <span>{aboutPatient(study.patient, study.study_date)}</span>
      <span class="quiet">
        {[study.description, dayOf(study.study_date), study.accession_number]
          .filter(Boolean)
          .join(' · ')}
      </span>
      {study.urgency !== 'routine' && <UrgencyBadge urgency={study.urgency} />}
      <StateBadge state={study.state} />
      <span class="grow" />
      <span role="status" class="fair">
        {others.length > 0 &&
          t('study.others', { names: others.map((one) => one.name).join(', ') })}
      </span>
      {study.ohif && (
        <a href={study.ohif} target="_blank" rel="noreferrer">
          {t('study.ohif')}
        </a>
      )}
    </header>
  );
}
