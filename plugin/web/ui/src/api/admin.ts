/** What administrators ask and do: `/api/admin`. */
import { ask } from './client';

export interface StudyState {
  study_instance_uid: string;
  accession_number?: string | null;
  sender: string | null;
  state: string;
  verdict: string;
  urgency: string | null;
  decision: string | null;
  instances: number;
  first_received_at: string;
  last_received_at: string;
  draft: {
    revision: number;
    state: string;
    retracted: boolean;
    deliveries: { destination: string; state: string; attempts: number }[];
  } | null;
}

export interface Step {
  time: string;
  kind: string;
  level: 'info' | 'warning' | 'alert';
  message: string;
}

export type Timeline = StudyState & { events: Step[] };

export interface Delivery {
  id: number;
  study_instance_uid: string;
  accession_number: string | null;
  revision: number;
  is_current: boolean;
  rejection_note: boolean;
  destination: string;
  state: string;
  attempts: number;
  last_error: string | null;
  not_before: string;
  sent_at: string | null;
  proved_at: string | null;
}

export interface Queue {
  alert: string | null;
  jobs: { state: string; urgency: string; count: number }[];
  oldest_due: { urgency: string; seconds: number }[];
  deliveries: { destination: string; state: string; count: number }[];
  oldest_delivery: { destination: string; seconds: number }[];
  processes: { part: string; host: string; pid: number; state: string }[];
  hours: { begins: string; studies: number; drafts: number }[];
}

export interface Disk {
  enabled: boolean;
  total_bytes: number;
  free_bytes: number;
  floor_bytes: number;
  high_percent: number;
  low_percent: number;
  taken: { rule: string; bytes: number }[];
  limits: { rule: string; days: number | null; percent: number }[];
  deleted: { rule: string; why: string; count: number; bytes: number }[];
  kept: { why: string; studies: number; bytes: number }[];
}

export interface Refused {
  sender: string;
  address: string;
  reason: string;
  count: number;
  first_at: string;
  last_at: string;
}

export interface Rules {
  digest: string;
  text: string;
  rules: { name: string; when: string | null; draft: boolean }[];
}

export interface Replay {
  judged: number;
  gone: number;
  changed: { study: string; sender: string | null; time: string; now: string; new: string }[];
}

export interface Models {
  current: string;
  models: string[];
  on_trial: string[];
  drafts: { model: string | null; digest: string | null; drafts: number; retracted: number }[];
  shadows: { model: string; state: string; drafts: number }[];
}

export interface Comparison {
  pairs: number;
  same_text: number;
  same_findings: number;
  words_alike: number | null;
  both: Record<string, number>;
  current_only: Record<string, number>;
  shadow_only: Record<string, number>;
}

export interface AuditEntry {
  position: number;
  time: string;
  entry: {
    action: string;
    who: { kind: string; name: string; address?: string };
    study?: { study_instance_uid: string; accession_number?: string; patient_id?: string };
    outcome?: number;
    detail?: string;
  };
}

const AT = '/api/admin';

/** The address of a question; what is empty is not asked. */
export function address(path: string, query: Record<string, string | boolean | null>): string {
  const asked = Object.entries(query).filter(([, value]) => Boolean(value));
  const written = new URLSearchParams(asked.map(([name, value]) => [name, String(value)]));
  return `${AT}/${path}${asked.length > 0 ? `?${written.toString()}` : ''}`;
}

export async function redraft(study: string, reason: string): Promise<void> {
  await ask('POST', `${AT}/studies/${study}/redraft`, { reason });
}

export async function retract(study: string, reason: string): Promise<void> {
  await ask('POST', `${AT}/studies/${study}/retract`, { reason });
}

export async function retry(delivery: number): Promise<void> {
  await ask('POST', `${AT}/deliveries/${delivery}/retry`);
}

export async function replay(rules: string, since: string): Promise<Replay> {
  return ask('POST', `${AT}/rules/replay`, { rules, since });
}

export async function promote(name: string): Promise<void> {
  await ask('POST', `${AT}/models/promote`, { name });
}

export async function rollBack(): Promise<void> {
  await ask('POST', `${AT}/models/rollback`);
}
