import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { Refusal } from '../api/client';
import { expired, session, signIn, wayTo } from '../api/session';
import { type Key, isKey, t } from '../i18n/i18n';

/** Name and password. The address stays, so that a reader comes back to the same page. */
export function SignIn(): JSX.Element {
  const [problem, setProblem] = useState<Key | null>(met);
  const [busy, setBusy] = useState(false);
  const send = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const typed = new FormData(event.currentTarget as HTMLFormElement);
    setBusy(true);
    setProblem(null);
    await signIn(textOf(typed, 'name'), textOf(typed, 'password')).catch((error: unknown) =>
      setProblem(reasonOf(error)),
    );
    setBusy(false);
  };
  return (
    <main class="notice">
      <form class="sign-in" onSubmit={(event) => void send(event)}>
        <h1>{t('sign-in.title')}</h1>
        {expired.value && <p role="status">{t('sign-in.expired')}</p>}
        <label>
          {t('sign-in.name')}
          <input name="name" autocomplete="username" maxLength={64} required autofocus />
        </label>
        <label>
          {t('sign-in.password')}
          <input name="password" type="password" autocomplete="current-password" required />
        </label>
        <p class="problem" role="alert">
          {problem && t(problem)}
        </p>
        <button class="main" disabled={busy}>
          {t('sign-in.send')}
        </button>
        {session.value?.providers?.map((provider) => (
          <a key={provider.id} class="way" href={wayTo(provider)}>
            {provider.title}
          </a>
        ))}
      </form>
    </main>
  );
}

/** Why whoever comes back from a directory, or follows a link, was not let in. */
function met(): Key | null {
  const code = new URLSearchParams(location.search).get('problem');
  if (location.pathname !== '/sign-in' || code === null) return null;
  const key = `sign-in.${code}`;
  return isKey(key) ? key : 'sign-in.directory';
}

/** Why somebody was not let in, and what to do. */
export function reasonOf(error: unknown): Key {
  const code = error instanceof Refusal ? error.code : '';
  if (code === 'wrong-password') return 'sign-in.wrong';
  if (code === 'locked') return 'sign-in.locked';
  return code === 'unreachable' ? 'sign-in.unreachable' : 'sign-in.failed';
}

function textOf(typed: FormData, name: string): string {
  const value = typed.get(name);
  return typeof value === 'string' ? value : '';
}
