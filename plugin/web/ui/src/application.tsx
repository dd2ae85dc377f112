import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { afterSignIn, loadSession, session } from './api/session';
import { Shell } from './components/shell';
import { language, t } from './i18n/i18n';
import { SignIn } from './pages/sign-in';
import { StudyPage } from './pages/study/study';
import { WorklistPage } from './pages/worklist/worklist';
import { type Place, usePlace } from './router';

/** The page of the present address, for whoever is signed in. */
export function Application(): JSX.Element | null {
  const place = usePlace();
  const [unreachable, setUnreachable] = useState(false);
  useEffect(() => {
    document.documentElement.lang = language.value;
  }, [language.value]);
  useEffect(() => {
    loadSession().catch(() => setUnreachable(true));
  }, []);
  if (unreachable) return <Unreachable />;
  if (session.value === undefined) return null;
  if (session.value.user === null) return <SignIn />;
  return (
    <Shell>
      <Page place={place} />
    </Shell>
  );
}

function Page({ place }: { place: Place }): JSX.Element {
  switch (place.page) {
    case 'sign-in':
      return <After />;
    case 'worklist':
      return <WorklistPage />;
    case 'study':
      return <StudyPage key={place.study} uid={place.study} />;
    case 'admin':
      return <AdminPage page={place.admin} />;
    default:
      return (
        <div class="notice">
          <p>{t('application.unknown')}</p>
          <a href="/">{t('application.home')}</a>
        </div>
      );
  }
}

/** After signing in: the worklist, or the study that a RIS wanted to open. */
function After(): JSX.Element | null {
  const wanted = afterSignIn();
  useEffect(() => {
    if (wanted !== '/') location.replace(wanted);
  }, []);
  return wanted === '/' ? <WorklistPage /> : null;
}

type Loaded = typeof import('./pages/admin/admin');

/** The pages of administrators are loaded when somebody opens one. */
function AdminPage({ page }: { page: string }): JSX.Element | null {
  const [loaded, setLoaded] = useState<Loaded | null>(null);
  useEffect(() => {
    void import('./pages/admin/admin').then(setLoaded);
  }, []);
  return loaded && <loaded.Admin page={page} />;
}

function Unreachable(): JSX.Element {
  return (
    <main class="notice">
      <p role="alert">{t('sign-in.unreachable')}</p>
      <button onClick={() => location.reload()}>{t('application.again')}</button>
    </main>
  );
}
