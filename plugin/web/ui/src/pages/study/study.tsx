import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { beforeLeaving, isRadiologist } from '../../api/session';
import type { Shown, Slice } from '../../api/studies';
import { t } from '../../i18n/i18n';
import { told } from '../../i18n/refusals';
import { fetchEngine, Viewer } from '../../viewer/viewer';
import { Ask } from './ask';
import { Banner } from './banner';
import { Similar } from './beside';
import { ConflictDialog } from './conflict';
import { Decide } from './decide';
import { Header } from './header';
import { type Opened, useOpened, useOthers } from './opened';
import { Priors } from './priors';
import { Record } from './record';
import { Report } from './report';
import './study.css';

const TABS = ['report', 'ask', 'priors', 'similar', 'record'] as const;
type Tab = (typeof TABS)[number];

/** A study: its images on the left, what is written of them on the right. */
export function StudyPage({ uid }: { uid: string }): JSX.Element {
  const opened = useOpened(uid);
  const others = useOthers(uid);
  const [shown, setShown] = useState<Shown | null>(null);
  const [slice, setSlice] = useState<Slice | null>(null);
  // It comes while the server is still asked for the study; the viewer tells if it does not
  useEffect(() => void fetchEngine().catch(() => undefined), []);
  if (!opened.study) {
    return (
      <div class="notice">
        <p role={opened.problem ? 'alert' : 'status'}>
          {opened.problem ? told(opened.problem) : t('study.loading')}
        </p>
        {opened.problem && <a href="/">{t('application.home')}</a>}
      </div>
    );
  }
  return (
    <div class="study">
      <Header study={opened.study} others={others} />
      <section class="images" aria-label={t('study.images')}>
        <Viewer study={uid} series={opened.study.series} show={shown} onSlice={setSlice} />
      </section>
      <Written uid={uid} opened={opened} slice={slice} onShow={setShown} />
    </div>
  );
}

interface Given {
  uid: string;
  opened: Opened;
  slice: Slice | null;
  onShow: (shown: Shown) => void;
}

/** The right half. The tabs stay open behind each other, so that nothing typed is lost. */
function Written({ uid, opened, slice, onShow }: Given): JSX.Element {
  const [tab, setTab] = useState<Tab>('report');
  const [seen, setSeen] = useState<readonly Tab[]>(['report']);
  const open = (next: Tab): void => {
    setTab(next);
    setSeen([...new Set([...seen, next])]);
  };
  const panel: Record<Tab, () => JSX.Element | null> = {
    report: () => <ReportTab opened={opened} slice={slice} onShow={onShow} />,
    ask: () => <Ask study={uid} />,
    priors: () => <Priors study={uid} />,
    similar: () => <Similar study={uid} />,
    record: () => opened.study && <Record {...opened} study={opened.study} />,
  };
  return (
    <section class="written" aria-label={t('study.written')}>
      {opened.draft && <Banner {...opened} draft={opened.draft} />}
      <Tabs tab={tab} onTab={open} />
      {TABS.map((one) => (
        <div
          key={one}
          id={`panel-${one}`}
          role="tabpanel"
          aria-labelledby={`tab-${one}`}
          hidden={one !== tab}
        >
          {seen.includes(one) && panel[one]()}
        </div>
      ))}
    </section>
  );
}

function Tabs({ tab, onTab }: { tab: Tab; onTab: (tab: Tab) => void }): JSX.Element {
  const press = (event: KeyboardEvent): void => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const next = TABS[(TABS.indexOf(tab) + by + TABS.length) % TABS.length] ?? tab;
    onTab(next);
    document.getElementById(`tab-${next}`)?.focus();
  };
  return (
    <div class="tabs" role="tablist" aria-label={t('study.written')} onKeyDown={press}>
      {TABS.map((one) => (
        <button
          key={one}
          id={`tab-${one}`}
          role="tab"
          aria-selected={one === tab}
          aria-controls={`panel-${one}`}
          tabIndex={one === tab ? 0 : -1}
          onClick={() => onTab(one)}
        >
          {t(`tab.${one}`)}
        </button>
      ))}
    </div>
  );
}

function ReportTab({ opened, slice, onShow }: Omit<Given, 'uid'>): JSX.Element {
  const { draft, editing, problem } = opened;
  useEffect(() => (editing ? beforeLeaving(() => editing.flush()) : undefined), [editing]);
  if (!draft || !editing)
    return <p class="notice quiet">{problem ? told(problem) : t('study.loading')}</p>;
  const mayDecide = isRadiologist();
  const { state } = editing.review.value;
  const mayEdit = mayDecide && state !== 'accepted' && state !== 'rejected';
  return (
    <div class="report">
      <Report work={{ editing, mayEdit }} draft={draft} slice={slice} onShow={onShow} />
      <ConflictDialog editing={editing} />
      <Decide editing={editing} draft={draft} mayDecide={mayDecide} />
    </div>
  );
}
