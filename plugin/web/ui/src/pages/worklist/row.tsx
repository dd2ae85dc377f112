import type { JSX } from 'preact';
import { session } from '../../api/session';
import type { Patient, Row } from '../../api/worklist';
import { StateBadge, UrgencyBadge } from '../../components/badges';
import { dayOf, momentOf, nameOf, since, yearsBetween } from '../../i18n/dates';
import { isKey, t } from '../../i18n/i18n';
import { go, pathOf } from '../../router';
import { opened } from './list';

/** One study; its name is the link, and a click anywhere follows it. */
export function StudyRow({ row }: { row: Row }): JSX.Element {
  const study = row.study_instance_uid;
  const path = pathOf({ page: 'study', study });
  const open = (): void => {
    opened.value = study;
    go(path);
  };
  const openRow = (event: MouseEvent): void => {
    if (!(event.target instanceof Element && event.target.closest('a'))) open();
  };
  return (
    <tr onClick={openRow}>
      <td>
        <UrgencyBadge urgency={row.urgency} />
      </td>
      <td class="number" title={momentOf(row.received_at)}>
        {since(row.received_at)}
      </td>
      <td>
        <a href={path} data-study={study} onClick={() => (opened.value = study)}>
          {nameOf(row.patient.name) || t('patient.unnamed')}
        </a>
        <small>{aboutPatient(row.patient, row.study_date)}</small>
      </td>
      <td>
        {row.description ?? t('study.undescribed')}
        <small>{[dayOf(row.study_date), row.accession_number].filter(Boolean).join(' · ')}</small>
      </td>
      <td>{row.model ?? '–'}</td>
      <td>
        <StateBadge state={row.state} />
        <small>{besideState(row)}</small>
      </td>
    </tr>
  );
}

/** Identifier, age on the day of the study, sex. */
export function aboutPatient(patient: Patient, day: string | null): string {
  const years = yearsBetween(patient.birth_date, day);
  const sex = `patient.sex.${patient.sex ?? ''}`;
  return [
    patient.id,
    years === null ? '' : t('patient.years', { n: years }),
    isKey(sex) ? t(sex) : '',
  ]
    .filter(Boolean)
    .join(' · ');
}

function besideState(row: Row): string {
  const others = row.readers.filter((name) => name !== session.value?.user?.display_name);
  return [
    others.length > 0 ? t('worklist.open-with', { names: others.join(', ') }) : '',
    row.reviewed_by ? t('worklist.reviewed-by', { name: row.reviewed_by }) : '',
    row.undelivered > 0 ? t('worklist.undelivered', { n: row.undelivered }) : '',
  ]
    .filter(Boolean)
    .join(' · ');
}
