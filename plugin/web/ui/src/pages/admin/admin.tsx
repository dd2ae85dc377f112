import type { JSX } from 'preact';
import { session } from '../../api/session';
import './admin.css';
import { AuditPage } from './audit';
import { DeliveriesPage } from './deliveries';
import { DiskPage } from './disk';
import { ModelsPage } from './models';
import { PeoplePage } from './people';
import { QueuePage } from './queue';
import { RefusalsPage } from './refusals';
import { RulesPage } from './rules';
import { StudiesPage } from './studies';
import { type Word, w } from './words';

const PAGES: Record<string, () => JSX.Element> = {
  queue: QueuePage,
  studies: StudiesPage,
  deliveries: DeliveriesPage,
  refusals: RefusalsPage,
  disk: DiskPage,
  rules: RulesPage,
  models: ModelsPage,
  people: PeoplePage,
  audit: AuditPage,
};

/** A page of administrators, beside the list of all of them. */
export function Admin({ page }: { page: string }): JSX.Element {
  if (!session.value?.user?.roles.includes('administrator'))
    return <p class="notice">{w('not-allowed')}</p>;
  const name = Object.hasOwn(PAGES, page) ? page : 'queue';
  const Shown = PAGES[name] ?? QueuePage;
  return (
    <div class="admin">
      <nav aria-label={w('pages')}>
        {Object.keys(PAGES).map((one) => (
          <a key={one} href={`/admin/${one}`} {...(one === name ? { 'aria-current': 'page' } : {})}>
            {w(`page.${one}` as Word)}
          </a>
        ))}
      </nav>
      <div class="content">
        <h1>{w(`page.${name}` as Word)}</h1>
        <Shown key={name} />
      </div>
    </div>
  );
}
