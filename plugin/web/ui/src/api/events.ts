/** What changes while a page is open, told by the server. */
import { signal } from '@preact/signals';

export interface Changed {
  /** Null after a gap: anything may have changed meanwhile. */
  study: string | null;
}

type Listener = (changed: Changed) => void;

/** Whether the server tells of changes at this moment. */
export const live = signal(true);

const listeners = new Set<Listener>();
let source: EventSource | null = null;

/** Be told of every change; the returned function ends it. One connection serves all listeners. */
export function follow(listener: Listener): () => void {
  listeners.add(listener);
  source ??= opened();
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    source?.close();
    source = null;
  };
}

function opened(): EventSource {
  const events = new EventSource('/api/events');
  for (const kind of ['study', 'presence']) {
    events.addEventListener(kind, (event: MessageEvent<string>) => tell(studyOf(event.data)));
  }
  events.onopen = () => {
    if (!live.value) tell(null);
    live.value = true;
  };
  // The browser connects again by itself
  events.onerror = () => (live.value = false);
  return events;
}

function tell(study: string | null): void {
  for (const listener of [...listeners]) listener({ study });
}

function studyOf(data: string): string | null {
  const told = JSON.parse(data) as { study_instance_uid?: string };
  return told.study_instance_uid ?? null;
}
