import type { ComponentChildren, JSX } from 'preact';
import { type Prior, type SimilarCase, loadPriors, loadSimilar } from '../../api/beside';
import { dayOf } from '../../i18n/dates';
import { t } from '../../i18n/i18n';
import { told } from '../../i18n/refusals';
import { pathOf } from '../../router';
import { useLoaded } from './loaded';

/** Other studies of this patient. */
export function Priors({ study }: { study: string }): JSX.Element {
  const { told: found, problem } = useLoaded(() => loadPriors(study), [study]);
  return (
    <div class="panel">
      <p class="warning">{t('priors.about')}</p>
      {found?.priors.length === 0 && <p class="quiet">{t('priors.none')}</p>}
      {found?.priors.map((one, index) => (
        <PriorCard key={index} prior={one} />
      ))}
      <p class="problem" role="alert">
        {problem && told(problem)}
      </p>
    </div>
  );
}

function PriorCard({ prior }: { prior: Prior }): JSX.Element {
  const where =
    prior.source === 'received' ? t('priors.received') : t('priors.from', { name: prior.source });
  return (
    <Card
      study={prior.study_instance_uid}
      title={[dayOf(prior.date), prior.modality, prior.description]}
      report={prior.report}
    >
      {where}
    </Card>
  );
}

/** Studies of other patients that look alike to the model. */
export function Similar({ study }: { study: string }): JSX.Element {
  const { told: found, problem } = useLoaded(() => loadSimilar(study), [study]);
  return (
    <div class="panel">
      <p class="warning">{t('similar.about')}</p>
      {found && <p class="quiet">{t('similar.of', { n: found.of })}</p>}
      {found?.cases.map((one) => (
        <SimilarCard key={one.study_instance_uid} found={one} />
      ))}
      <p class="problem" role="alert">
        {problem && told(problem)}
      </p>
    </div>
  );
}

function SimilarCard({ found }: { found: SimilarCase }): JSX.Element {
  return (
    <Card
      study={found.study_instance_uid}
      title={[dayOf(found.date), found.description]}
      report={found.report}
    >
      {t('similar.alike', { n: Math.round(100 * found.similarity) })}
    </Card>
  );
}

interface CardGiven {
  study: string | null;
  title: (string | null)[];
  report: string | null;
  children: ComponentChildren;
}

function Card({ study, title, report, children }: CardGiven): JSX.Element {
  return (
    <article class="card">
      <h2>{title.filter(Boolean).join(' · ')}</h2>
      <p class="quiet">
        {children}{' '}
        {study && (
          <a href={pathOf({ page: 'study', study })} target="_blank" rel="noreferrer">
            {t('beside.open')}
          </a>
        )}
      </p>
      {report ? (
        <details>
          <summary>{t('beside.report')}</summary>
          <p class="text">{report}</p>
        </details>
      ) : (
        <p class="quiet">{t('beside.no-report')}</p>
      )}
    </article>
  );
}
