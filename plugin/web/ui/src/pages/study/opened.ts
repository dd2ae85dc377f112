/** A study that is open: what the server knows of it, kept up to date. */
import { useEffect, useState } from 'preact/hooks';
import { Refusal } from '../../api/client';
import { follow } from '../../api/events';
import { session } from '../../api/session';
import {
  type Draft,
  type Reader,
  type Study,
  loadDraft,
  loadReview,
  loadStudy,
  tellPresence,
} from '../../api/studies';
import { Shelf } from '../../draft/autosave';
import { Editing } from '../../draft/editing';

/** How often the server is told that the study is still open, in milliseconds (the contract). */
const PRESENT_EVERY = 20_000;

export interface Opened {
  study: Study | null;
  draft: Draft | null;
  editing: Editing | null;
  /** Why there is no study, or no draft. */
  problem: Refusal | null;
}

const NOTHING: Opened = { study: null, draft: null, editing: null, problem: null };

export function useOpened(uid: string): Opened {
  const [opened, setOpened] = useState(NOTHING);
  useEffect(() => {
    let [current, open] = [NOTHING, true];
    const load = async (): Promise<void> => {
      for await (const next of loaded(uid, current)) {
        if (open) setOpened((current = next));
      }
    };
    setOpened(NOTHING);
    void load();
    const unfollow = follow(({ study }) => {
      if (study === null || study === uid) void load();
    });
    return () => {
      open = false;
      unfollow();
      void current.editing?.flush();
    };
  }, [uid]);
  return opened;
}

/** Who else has the study open. */
export function useOthers(uid: string): Reader[] {
  const [readers, setReaders] = useState<Reader[]>([]);
  useEffect(() => {
    const tell = (): void => {
      // Not known to the others for a moment is no harm: the next call is near
      tellPresence(uid).then(
        (told) => setReaders(told.readers),
        () => undefined,
      );
    };
    tell();
    const every = setInterval(tell, PRESENT_EVERY);
    return () => clearInterval(every);
  }, [uid]);
  const user = session.value?.user;
  return readers.filter(({ name }) => name !== user?.display_name && name !== user?.name);
}

/** The study at once, so that its images need not wait for what is written of it. */
async function* loaded(uid: string, before: Opened): AsyncGenerator<Opened> {
  const written = loadedDraft(uid, before.editing);
  try {
    const now = { ...before, study: await loadStudy(uid), problem: null };
    if (!before.study) yield now;
    yield { ...now, ...(await written) };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    yield { ...before, problem: error };
  }
}

async function loadedDraft(uid: string, before: Editing | null): Promise<Partial<Opened>> {
  try {
    const [draft, review] = await Promise.all([loadDraft(uid), loadReview(uid)]);
    before?.receive(review);
    const shelf = new Shelf(session.value?.user?.name ?? '', uid);
    return { draft, editing: before ?? new Editing(uid, review, shelf) };
  } catch (error) {
    if (error instanceof Refusal) return { problem: error };
    throw error;
  }
}
