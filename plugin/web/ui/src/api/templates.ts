/** Texts that a reader or the house keeps for reports. */
import type { Template } from '../draft/macros';
import { ask } from './client';

export interface Templates {
  house: Template[];
  mine: Template[];
}

export const NONE: Templates = { house: [], mine: [] };

const pathOf = (name: string): string => `/api/templates/${encodeURIComponent(name)}`;

export const loadTemplates = (): Promise<Templates> => ask('GET', '/api/templates');

export async function keepTemplate({ name, ...template }: Template): Promise<void> {
  await ask('PUT', pathOf(name), template);
}

export async function dropTemplate(name: string): Promise<void> {
  await ask('DELETE', pathOf(name));
}
