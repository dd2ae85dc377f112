/** The rows of the list, kept up to date. */
import { signal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Refusal } from '../../api/client';
import { follow } from '../../api/events';
import { type Filter, type Worklist, loadWorklist } from '../../api/worklist';

/** Changes that come in quick succession are fetched once, in milliseconds. */
const TOGETHER = 400;

/** Studies of the list that was shown last, in its order: where "next study" goes. */
export const queue = signal<readonly string[]>([]);

/** The study that was opened last from the list. */
export const opened = signal<string | null>(null);

export interface List {
  shown: Worklist | null;
  problem: Refusal | null;
  more: () => void;
}

export function useList(filter: Filter): List {
  const [shown, setShown] = useState<Worklist | null>(null);
  const [problem, setProblem] = useState<Refusal | null>(null);
  const [pages, setPages] = useState(1);
  const asked = JSON.stringify([filter, pages]);
  const newest = useRef(asked);
  newest.current = asked;
  useEffect(() => setPages(1), [JSON.stringify(filter)]);
  useEffect(() => {
    const load = async (): Promise<void> => {
      const answer = await loadPages(filter, pages).catch(refused);
      // An answer to an earlier question comes too late
      if (newest.current !== asked) return;
      setProblem(answer instanceof Refusal ? answer : null);
      if (answer instanceof Refusal) return;
      setShown(answer);
      queue.value = answer.studies.map((row) => row.study_instance_uid);
    };
    return loadedAgain(load);
  }, [asked]);
  return { shown, problem, more: () => setPages(pages + 1) };
}

/** Load now and after each change; the returned function ends it. */
function loadedAgain(load: () => Promise<void>): () => void {
  let waiting: ReturnType<typeof setTimeout> | undefined;
  const soon = (): void => {
    waiting ??= setTimeout(() => {
      waiting = undefined;
      void load();
    }, TOGETHER);
  };
  void load();
  const unfollow = follow(soon);
  return () => {
    unfollow();
    clearTimeout(waiting);
  };
}

async function loadPages(filter: Filter, pages: number): Promise<Worklist> {
  let whole = await loadWorklist(filter);
  for (let page = 1; page < pages && whole.next; page += 1) {
    const further = await loadWorklist(filter, whole.next);
    whole = { ...further, studies: [...whole.studies, ...further.studies] };
  }
  return whole;
}

function refused(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  throw error;
}
