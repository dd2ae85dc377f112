/** Dates, ages and names as a reader writes them. */
import { language, t } from './i18n';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** "YYYY-MM-DD" or DICOM's "YYYYMMDD"; null for anything else. */
function partsOf(date: string | null): [number, number, number] | null {
  const found = /^(\d{4})-?(\d{2})-?(\d{2})/.exec(date ?? '');
  return found ? [Number(found[1]), Number(found[2]), Number(found[3])] : null;
}

/** A day in the reader's language; an empty text where there is none. */
export function dayOf(date: string | null): string {
  const parts = partsOf(date);
  if (!parts) return '';
  const [year, month, day] = parts;
  return new Intl.DateTimeFormat(locale(), { dateStyle: 'medium', timeZone: 'UTC' }).format(
    Date.UTC(year, month - 1, day),
  );
}

/** A moment in the reader's language and time zone. */
export function momentOf(at: string | null): string {
  const time = Date.parse(at ?? '');
  if (Number.isNaN(time)) return '';
  return new Intl.DateTimeFormat(locale(), { dateStyle: 'medium', timeStyle: 'short' }).format(
    time,
  );
}

/** Full years between two days; null where one is unknown. */
export function yearsBetween(birth: string | null, day: string | null): number | null {
  const [born, then] = [partsOf(birth), partsOf(day)];
  if (!born || !then) return null;
  const before = then[1] < born[1] || (then[1] === born[1] && then[2] < born[2]);
  return then[0] - born[0] - (before ? 1 : 0);
}

/** How long ago something was, short: "12 min", "3 h", "2 d". */
export function since(at: string, now: number = Date.now()): string {
  const passed = Math.max(0, now - Date.parse(at));
  if (passed < HOUR) return t('time.minutes', { n: Math.floor(passed / MINUTE) });
  if (passed < 2 * DAY) return t('time.hours', { n: Math.floor(passed / HOUR) });
  return t('time.days', { n: Math.floor(passed / DAY) });
}

/** DICOM's "DOE^JANE" as "DOE, JANE". */
export function nameOf(name: string | null): string {
  const [family = '', given = ''] = (name ?? '').split('=')[0]?.split('^') ?? [];
  return [family, given]
    .map((part) => part.trim())
    .filter(Boolean)
    .join(', ');
}

function locale(): string {
  return language.value === 'de' ? 'de-DE' : 'en-GB';
}
