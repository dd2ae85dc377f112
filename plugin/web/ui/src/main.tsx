import { render } from 'preact';
import { Application } from './application';
import './theme.css';

const place = document.getElementById('app');
if (place) render(<Application />, place);
