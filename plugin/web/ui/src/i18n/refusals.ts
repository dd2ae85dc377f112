/** What went wrong, in the reader's language where it is known. */
import { Refusal } from '../api/client';
import { isKey, t } from './i18n';

export function told(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const key = error instanceof Refusal ? `refusal.${error.code}` : '';
  return isKey(key) ? t(key) : error.message;
}
