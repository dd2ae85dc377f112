import { render } from 'preact';
import { Application } from './application';
import { placeOf } from './router';
import { fetchEngine } from './viewer/viewer';
import './theme.css';

// The largest file by far: it comes while the server is still asked who is there
if (placeOf(location.pathname).page === 'study') void fetchEngine().catch(() => undefined);
const place = document.getElementById('app');
if (place) render(<Application />, place);
