import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { type Comparison, type Models, address, promote, rollBack } from '../../api/admin';
import { Confirm, Problem, Table, useDoing, useTold } from './parts';
import { w } from './words';

type Asking = { what: 'promote'; model: string } | { what: 'rollback' };

/** Which models there are, how one on trial compares, and which one is the service's own. */
export function ModelsPage(): JSX.Element {
  const { told, problem, again } = useTold<Models>(address('models', {}));
  const [compared, setCompared] = useState<string | null>(null);
  const [asking, setAsking] = useState<Asking | null>(null);
  const doing = useDoing(again);
  const act = (): void => {
    if (!asking) return;
    doing.run(() => (asking.what === 'promote' ? promote(asking.model) : rollBack()));
    setAsking(null);
  };
  return (
    <>
      <Problem text={doing.problem ?? problem} />
      {told && (
        <>
          <Known models={told} busy={doing.busy} onCompare={setCompared} onAsk={setAsking} />
          <p>{w('models.settings')}</p>
          <div class="actions">
            <button disabled={doing.busy} onClick={() => setAsking({ what: 'rollback' })}>
              {w('models.rollback')}
            </button>
          </div>
          {compared && <Compared key={compared} model={compared} />}
          <h2>{w('models.drafts')}</h2>
          <Drafts models={told} />
        </>
      )}
      {asking && (
        <Confirm
          title={w(`models.${asking.what}`)}
          text={w(`models.${asking.what}.text`, { model: 'model' in asking ? asking.model : '' })}
          action={w(`models.${asking.what}`)}
          onClose={() => setAsking(null)}
          onDone={act}
        />
      )}
    </>
  );
}

interface Listed {
  models: Models;
  busy: boolean;
  onCompare: (model: string) => void;
  onAsk: (asking: Asking) => void;
}

function Known({ models, busy, onCompare, onAsk }: Listed): JSX.Element {
  const shadowed = (name: string, state: string): number =>
    models.shadows.find((one) => one.model === name && one.state === state)?.drafts ?? 0;
  return (
    <Table
      caption="page.models"
      rows={models.models}
      keyOf={(one) => one}
      columns={[
        { title: 'models.name', cell: (one) => <code>{one}</code> },
        { title: 'models.role', cell: (one) => roleOf(models, one) },
        { title: 'models.shadow', number: true, cell: (one) => shadowed(one, 'done') || '–' },
        { title: 'models.waiting', number: true, cell: (one) => shadowed(one, 'pending') || '–' },
        {
          title: 'action',
          cell: (one) => (
            <span class="row-actions">
              {shadowed(one, 'done') > 0 && (
                <button onClick={() => onCompare(one)}>{w('models.compare')}</button>
              )}
              {one !== models.current && (
                <button disabled={busy} onClick={() => onAsk({ what: 'promote', model: one })}>
                  {w('models.promote')}
                </button>
              )}
            </span>
          ),
        },
      ]}
    />
  );
}

function roleOf(models: Models, name: string): string {
  if (name === models.current) return w('models.own');
  return models.on_trial.includes(name) ? w('models.on-trial') : w('models.named');
}

function Compared({ model }: { model: string }): JSX.Element {
  const path = address('models/comparison', { model });
  const { told, problem } = useTold<Comparison>(path);
  return (
    <section>
      <h2>{w('models.comparison', { model })}</h2>
      <Problem text={problem} />
      {told && (
        <>
          <p>
            {w('models.sum', {
              pairs: told.pairs,
              findings: told.same_findings,
              text: told.same_text,
              words: Math.round(100 * (told.words_alike ?? 0)),
            })}
          </p>
          <Findings found={told} />
        </>
      )}
    </section>
  );
}

function Findings({ found }: { found: Comparison }): JSX.Element {
  const differ = (name: string): number =>
    (found.current_only[name] ?? 0) + (found.shadow_only[name] ?? 0);
  const all = { ...found.both, ...found.current_only, ...found.shadow_only };
  const names = Object.keys(all).sort((a, b) => differ(b) - differ(a) || a.localeCompare(b));
  return (
    <Table
      caption="models.findings"
      rows={names}
      keyOf={(one) => one}
      columns={[
        { title: 'models.finding', cell: (one) => one },
        { title: 'models.both', number: true, cell: (one) => found.both[one] ?? 0 },
        { title: 'models.current', number: true, cell: (one) => found.current_only[one] ?? 0 },
        { title: 'models.trial', number: true, cell: (one) => found.shadow_only[one] ?? 0 },
      ]}
    />
  );
}

function Drafts({ models }: { models: Models }): JSX.Element {
  return (
    <Table
      caption="models.drafts"
      rows={models.drafts}
      keyOf={(one) => `${one.model ?? ''} ${one.digest ?? ''}`}
      columns={[
        { title: 'models.name', cell: (one) => one.model ?? w('models.unknown') },
        { title: 'models.digest', cell: (one) => <code>{(one.digest ?? '').slice(0, 12)}</code> },
        { title: 'models.count', number: true, cell: (one) => one.drafts },
        { title: 'models.retracted', number: true, cell: (one) => one.retracted },
      ]}
    />
  );
}
