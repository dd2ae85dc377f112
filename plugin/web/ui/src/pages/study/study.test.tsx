import { render } from 'preact';
import { act } from 'preact/test-utils';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { session } from '../../api/session';
import type { Draft, Sentence } from '../../api/studies';
import type { Review } from '../../draft/autosave';
import { language } from '../../i18n/i18n';
import { queue } from '../worklist/list';
import { StudyPage } from './study';

const sentence = (id: string, text: string, more: Partial<Sentence> = {}): Sentence => ({
  id,
  text,
  confidence: { level: 'high' },
  withheld: null,
  evidence: [],
  ...more,
});
const evidence = {
  series_instance_uid: '1.2.3',
  sop_instance_uid: '1.2.3.44',
  series_number: 2,
  instance_number: 44,
};
const doubtful = sentence('w', 'The gallbladder was removed.', {
  withheld: { reason: 'low-confidence' },
});
const draft: Draft = {
  sop_instance_uid: '1.9',
  revision: 1,
  state: 'draft',
  model: { name: 'm', version: '1', digest: null, demonstration: false },
  notices: ['AI DRAFT - NOT VERIFIED.', 'Slices are missing.'],
  sections: [
    {
      heading: 'findings',
      title: 'Findings',
      sentences: [
        sentence('a', 'The lungs are clear.'),
        sentence('b', 'A nodule of 9 mm lies in the right upper lobe.', {
          confidence: { level: 'low' },
          evidence: [evidence],
        }),
        doubtful,
      ],
    },
  ],
  calibrated_on: 'phantoms, 300 studies',
  has_confidence: true,
  has_evidence: true,
  deliveries: [{ destination: 'PACS', state: 'proved', proved_at: null }],
};
const text = 'The lungs are clear. A nodule of 9 mm lies in the right upper lobe.';
const review = (version: number, more: Partial<Review> = {}): Review => ({
  version,
  draft_revision: 1,
  sections: [{ heading: 'findings', title: 'Findings', text }],
  state: 'open',
  saved_by: null,
  saved_at: null,
  reason: null,
  history: [],
  object: null,
  ...more,
});
const section = { heading: 'findings', title: 'Findings' };
const study = {
  study_instance_uid: '1.2',
  accession_number: 'A1',
  patient: { name: 'DOE^JANE', id: 'P1', birth_date: null, sex: null },
  description: 'CT chest',
  study_date: null,
  received_at: '2026-11-28T10:00:00Z',
  urgency: 'routine',
  state: 'draft',
  model: 'm',
  revision: 1,
  readers: [],
  reviewed_by: null,
  undelivered: 0,
  series: [],
  ohif: null,
  timeline: [{ at: '2026-11-28T10:00:00Z', text: 'The first slice came.' }],
};

class Silent extends EventTarget {
  close(): void {
    return undefined;
  }
}

describe('the study page', () => {
  const page = document.createElement('div');
  let answers: Record<string, [number, unknown]>;
  let asked: [string, unknown][];
  const settle = () => act(() => new Promise((done) => setTimeout(done, 20)));
  const open = async (roles: ('reader' | 'radiologist')[] = ['radiologist']) => {
    session.value = {
      user: { name: 'ann', display_name: 'Ann', roles },
      csrf: 'x',
      version: '1',
    };
    void act(() => render(<StudyPage uid="1.2" />, page));
    await settle();
  };
  const press = async (key: string, more: KeyboardEventInit = {}) => {
    const target = document.activeElement ?? document.body;
    void act(() => {
      target.dispatchEvent(
        new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true, ...more }),
      );
    });
    await settle();
  };
  const click = async (words: string) => {
    const all = [...page.querySelectorAll<HTMLElement>('button, summary')];
    void act(() => all.find((one) => one.textContent.includes(words))?.click());
    await settle();
  };
  const type = (words: string) =>
    act(() => {
      const field = document.activeElement as HTMLTextAreaElement;
      field.value = words;
      field.dispatchEvent(new InputEvent('input', { bubbles: true }));
    });
  const sentences = () =>
    [...page.querySelectorAll('[data-sentence]')].map((one) => one.textContent);
  beforeEach(() => {
    language.value = 'en';
    queue.value = ['1.2', '1.3'];
    localStorage.clear();
    asked = [];
    answers = {
      'GET /api/studies/1.2': [200, study],
      'GET /api/studies/1.2/draft': [200, draft],
      'GET /api/studies/1.2/review': [200, review(1)],
      'POST /api/studies/1.2/presence': [200, { readers: [{ name: 'Ann' }, { name: 'Bob' }] }],
      'GET /api/templates': [
        200,
        {
          house: [],
          mine: [{ name: 'fu', kind: 'macro', heading: null, text: 'Follow up.', language: 'en' }],
        },
      ],
    };
    vi.stubGlobal('EventSource', Silent);
    vi.stubGlobal('fetch', (path: string, init: { method: string; body?: string }) => {
      const key = `${init.method} ${path}`;
      asked.push([key, JSON.parse(init.body ?? 'null')]);
      const [status, body] = answers[key] ?? [404, { error: 'no such thing', code: 'none' }];
      return Promise.resolve(new Response(JSON.stringify(body), { status }));
    });
    document.body.append(page);
  });
  afterEach(() => {
    render(null, page);
    vi.unstubAllGlobals();
  });

  it('says what the text is, how sure each sentence is, and who else reads', async () => {
    await open();
    expect(page.querySelector('.banner')?.textContent).toMatch(
      /^AI draft, not verified[^D]*Slices are missing/,
    );
    expect(sentences()).toEqual([
      'The lungs are clear.high',
      'A nodule of 9 mm lies in the right upper lobe.lowImage 44',
    ]);
    expect(page.querySelector('.legend')?.textContent).toMatch(
      /high.*medium.*low.*Calibrated on phantoms, 300 studies/,
    );
    expect(page.querySelector('.about')?.textContent).toContain('Bob also has this study open');
    expect(page.querySelector('.withheld')?.textContent).toContain(
      'Withheld: the model’s confidence in it is low.',
    );
  });

  it('says plainly where a model gives neither confidence nor images', async () => {
    answers['GET /api/studies/1.2/draft'] = [
      200,
      { ...draft, calibrated_on: null, has_confidence: false, has_evidence: false },
    ];
    await open();
    expect(page.querySelector('.legend')?.textContent).toMatch(
      /was not assessed.*does not say which images/,
    );
    expect(page.querySelector('.level')).toBeNull();
  });

  it('shows the word uncalibrated and no other where nobody has calibrated', async () => {
    answers['GET /api/studies/1.2/draft'] = [
      200,
      { ...draft, calibrated_on: '', has_confidence: false },
    ];
    await open();
    expect(page.querySelector('.legend')?.textContent).toBe('Confidence: uncalibrated.');
    expect(page.querySelector('.level')).toBeNull();
  });

  it('tells a sentence that was not assessed from one of high confidence', async () => {
    const [section] = draft.sections;
    const unknown = sentence('c', 'The spleen is small.', { confidence: null });
    const technique = sentence('t', 'Series 2 was used.', { confidence: null });
    answers['GET /api/studies/1.2/draft'] = [
      200,
      {
        ...draft,
        sections: [
          { ...section, sentences: [unknown] },
          { heading: 'TECHNIQUE', title: 'Technique', sentences: [technique] },
        ],
      },
    ];
    answers['GET /api/studies/1.2/review'] = [
      200,
      review(1, {
        sections: [
          { heading: 'findings', title: 'Findings', text: unknown.text },
          { heading: 'TECHNIQUE', title: 'Technique', text: technique.text },
        ],
      }),
    ];
    await open();
    expect(sentences()).toEqual(['The spleen is small.not assessed', 'Series 2 was used.']);
  });

  it('is edited by keys, sentence by sentence, and undone', async () => {
    await open();
    await press('j');
    await press('j');
    await press('e');
    void type('A nodule of 12 mm lies in the right upper lobe.');
    await press('Enter');
    expect(sentences()[1]).toBe('A nodule of 12 mm lies in the right upper lobe.editedImage 44');
    await press('z', { ctrlKey: true });
    expect(sentences()[1]).toContain('9 mm');
    await press('Delete');
    expect(sentences()).toEqual(['The lungs are clear.high']);
    await click('Changes');
    expect(page.querySelector('del')?.textContent).toContain('A nodule of 9 mm');
  });

  it('writes macros out, and takes withheld sentences only when asked to', async () => {
    await open();
    await click('Add a sentence');
    void type('.fu');
    (document.activeElement as HTMLTextAreaElement).setSelectionRange(3, 3);
    await press('Tab');
    expect((document.activeElement as HTMLTextAreaElement).value).toBe('Follow up.');
    await press('Enter');
    expect(sentences().at(-1)).toBe('Follow up.written by a reader');
    await click('Take into the report');
    expect(sentences().at(-1)).toContain(doubtful.text);
    expect(page.querySelector('.withheld')).toBeNull();
  });

  it('is accepted by a key and one more, with what was typed saved before', async () => {
    answers['PUT /api/studies/1.2/review'] = [
      200,
      review(2, { sections: [{ heading: 'findings', title: 'Findings', text: 'Short.' }] }),
    ];
    answers['POST /api/studies/1.2/review/accept'] = [
      200,
      review(3, {
        state: 'accepted',
        sections: [{ heading: 'findings', title: 'Findings', text: 'Short.' }],
        history: [{ at: '2026-11-28T10:00:00Z', by: 'Ann', action: 'accepted' }],
        object: { sop_instance_uid: '1.10', state: 'proved' },
      }),
    ];
    await open();
    await click('Free text');
    page.querySelector('textarea')?.focus();
    void type('Short.');
    await press('a');
    expect(page.querySelector('dialog')).toBeNull();
    (document.activeElement as HTMLElement).blur();
    await press('a');
    expect(page.querySelector('dialog')?.textContent).toContain('with your changes');
    void act(() => {
      page.querySelector('dialog form')?.dispatchEvent(new SubmitEvent('submit'));
    });
    await settle();
    expect(asked.slice(-2).map(([key]) => key)).toEqual([
      'PUT /api/studies/1.2/review',
      'POST /api/studies/1.2/review/accept',
    ]);
    expect(page.querySelector('.banner')?.textContent).toMatch(/^Accepted report/);
    expect(page.querySelector('.decide')?.textContent).toMatch(
      /^Accepted by Ann.*Proved at the archive\..*Next study/,
    );
    expect(page.querySelector('textarea')?.readOnly).toBe(true);
  });

  it('is only read by who may only read', async () => {
    await open(['reader']);
    await press('a');
    expect(page.querySelector('dialog')).toBeNull();
    expect(page.querySelector('.decide')?.textContent).toContain('Only radiologists');
    expect(page.textContent).not.toContain('Add a sentence');
  });

  it('says why there is no draft, or no study', async () => {
    answers['GET /api/studies/1.2/draft'] = [404, { error: 'the study waits', code: 'no-draft' }];
    await open();
    expect(page.querySelector('#panel-report')?.textContent).toBe('This study has no draft.');
    await click('Record');
    expect(page.querySelector('#panel-record')?.textContent).toContain('The first slice came.');
    render(null, page);
    answers['GET /api/studies/1.2'] = [404, { error: 'there is no such study', code: 'none' }];
    await open();
    expect(page.querySelector('[role=alert]')?.textContent).toBe('there is no such study');
  });

  it('asks what to go on with when a newer draft has come', async () => {
    answers['GET /api/studies/1.2/review'] = [
      200,
      review(4, { draft_revision: 0, sections: [{ ...section, text: 'Of the old draft.' }] }),
    ];
    answers['POST /api/studies/1.2/review/reopen'] = [
      200,
      review(5, { sections: [{ ...section, text: 'Of the old draft.' }] }),
    ];
    await open();
    expect(page.querySelector('.banner')?.textContent).toContain('newer draft (revision 1)');
    await click('Take the new draft');
    expect(sentences()[0]).toContain('The lungs are clear.');
    expect(page.querySelector('.banner')?.textContent).not.toContain('newer draft');
    await press('z', { ctrlKey: true });
    expect(sentences()[0]).toContain('Of the old draft.');
  });

  it('shows priors and questions apart from the report, and says so', async () => {
    const title = { date: '20250102', description: 'CT chest', modality: 'CT' };
    const received = { ...title, study_instance_uid: '1.3', source: 'received', state: 'signed' };
    answers['GET /api/studies/1.2/priors'] = [
      200,
      { priors: [{ ...received, report: 'Nodule of 6 mm.' }] },
    ];
    answers['GET /api/studies/1.2/archived'] = [
      200,
      {
        archive: 'PACS',
        priors: [
          { ...title, study_instance_uid: '1.3' },
          { ...title, study_instance_uid: '1.4', date: '20240304' },
        ],
        withheld: 2,
      },
    ];
    answers['GET /api/studies/1.2/archived/1.4'] = [
      200,
      { reports: [{ text: 'No nodule.', state: 'signed', date: '20240305' }] },
    ];
    await open();
    await click('Earlier studies');
    const panel = page.querySelector('#panel-priors');
    expect(panel?.querySelectorAll('.card').length).toBe(2);
    expect(panel?.textContent).toMatch(
      /not the present study.*2 Jan 2025.*Received here · In the archive PACS.*6 mm.*4 Mar 2024.*Not shown: 2 in the archive/,
    );
    expect(panel?.textContent).not.toContain('No nodule.');
    const [, , last] = panel?.querySelectorAll('details') ?? [];
    await act(() => {
      if (last) last.open = true;
      last?.dispatchEvent(new Event('toggle'));
    });
    await vi.waitFor(() => {
      expect(last?.textContent).toMatch(/Reports in PACS.*Signed · 5 Mar 2024.*No nodule/);
    });
    await click('Ask');
    expect(page.querySelector('#panel-ask')?.textContent).toContain('never enters the report');
  });
});
