import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import {
  type ArchivedReport,
  type Row,
  loadArchived,
  loadArchivedReports,
  loadPriors,
  merged,
} from '../../api/beside';
import { dayOf } from '../../i18n/dates';
import { t } from '../../i18n/i18n';
import { told } from '../../i18n/refusals';
import { Card, Report } from './beside';
import { useLoaded } from './loaded';

/** Other studies of this patient: those that were received at once, then those of the archive. */
export function Priors({ study }: { study: string }): JSX.Element {
  const here = useLoaded(() => loadPriors(study), [study]);
  const there = useLoaded(() => loadArchived(study), [study]);
  const rows = merged(here.told?.priors ?? [], there.told);
  const withheld = there.told?.withheld ?? 0;
  return (
    <div class="panel">
      <p class="warning">{t('priors.about')}</p>
      {here.told && there.told && rows.length === 0 && <p class="quiet">{t('priors.none')}</p>}
      {rows.map((one) => (
        <PriorCard key={one.study_instance_uid} study={study} prior={one} />
      ))}
      {withheld > 0 && <p class="quiet">{t('priors.withheld', { n: withheld })}</p>}
      <p class="quiet" role="status">
        {!there.told && !there.problem && t('priors.looking')}
      </p>
      <p class="problem" role="alert">
        {here.problem && told(here.problem)}
        {there.problem && told(there.problem)}
      </p>
      {there.problem && (
        <button type="button" onClick={there.again}>
          {t('priors.again')}
        </button>
      )}
    </div>
  );
}

function PriorCard({ study, prior }: { study: string; prior: Row }): JSX.Element {
  const received = prior.source === 'received';
  const { archive, study_instance_uid: uid } = prior;
  const places = [
    received && t('priors.received'),
    archive !== null && t('priors.from', { name: archive }),
  ];
  return (
    <Card
      study={received ? uid : null}
      title={[dayOf(prior.date), prior.modality, prior.description]}
      report={
        <>
          {(received || archive === null) && <Report text={prior.report} />}
          {archive !== null && <Archived study={study} prior={uid} name={archive} />}
        </>
      }
    >
      {places.filter(Boolean).join(' · ')}
    </Card>
  );
}

interface ArchivedGiven {
  study: string;
  prior: string;
  name: string;
}

/** The reports of a study in the archive, fetched where somebody wants to read them. */
function Archived({ study, prior, name }: ArchivedGiven): JSX.Element {
  const [wanted, setWanted] = useState(false);
  return (
    <details onToggle={(event) => event.currentTarget.open && setWanted(true)}>
      <summary>{t('priors.reports', { name })}</summary>
      {wanted && <Fetched study={study} prior={prior} />}
    </details>
  );
}

function Fetched({ study, prior }: { study: string; prior: string }): JSX.Element {
  const { told: found, problem } = useLoaded(
    () => loadArchivedReports(study, prior),
    [study, prior],
  );
  return (
    <>
      <p class="quiet" role="status">
        {!found && !problem && t('priors.fetching')}
        {found?.reports.length === 0 && t('priors.no-text')}
      </p>
      {found?.reports.map((one, index) => (
        <Written key={index} report={one} />
      ))}
      <p class="problem" role="alert">
        {problem && `${t('priors.not-fetched')} ${told(problem)}`}
      </p>
    </>
  );
}

function Written({ report }: { report: ArchivedReport }): JSX.Element {
  return (
    <>
      <p class="quiet">
        {[t(`priors.${report.state}`), dayOf(report.date)].filter(Boolean).join(' · ')}
      </p>
      <p class="text">{report.text}</p>
    </>
  );
}
